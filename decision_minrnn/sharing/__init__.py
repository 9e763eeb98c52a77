"""Sharing: a policy as a folder that anyone can load, and the same on the Hugging Face hub.

    FOLDER/model.safetensors   weights and observation statistics, with the model's configuration in the header
    FOLDER/config.json         how it acts, the run that it comes from, its task, and what it scored
    FOLDER/cards.json          the cards of environment and dataset, for people: nothing reads or runs them
    FOLDER/README.md           the model card
    FOLDER/replay.mp4          a recorded episode, where `decision-minrnn share` found one in the run folder

Nothing in it is a pickle and nothing names code: loading executes nothing.
"""

from decision_minrnn.sharing.mixin import VIDEO, Shareable, is_shared, upload

__all__ = ["VIDEO", "Shareable", "is_shared", "upload"]
