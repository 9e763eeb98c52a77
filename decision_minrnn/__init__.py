"""decision_minrnn: return-conditioned policies from offline data, trained in parallel and run one step at a time.

    import decision_minrnn as dm

    data = dm.load_dataset("hopper-medium")
    run = dm.train(dm.TrainConfig("hopper-medium", updates=3000), data)
    print(dm.evaluate(run.policy))

The names below are imported when they are first used, so that `import decision_minrnn` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decision_minrnn.agent import Agent, RewardObservation
    from decision_minrnn.config import ModelConfig, TrainConfig
    from decision_minrnn.data import Trajectories, load_dataset
    from decision_minrnn.evaluation import Evaluation
    from decision_minrnn.model import DecisionModel
    from decision_minrnn.policy import Policy
    from decision_minrnn.rollout import evaluate
    from decision_minrnn.runs import load_policy
    from decision_minrnn.seeds import train_seeds
    from decision_minrnn.training import Run, resume, train

_PUBLIC = {
    "Agent": "agent",
    "DecisionModel": "model",
    "Evaluation": "evaluation",
    "ModelConfig": "config",
    "Policy": "policy",
    "RewardObservation": "agent",
    "Run": "training",
    "TrainConfig": "config",
    "Trajectories": "data",
    "evaluate": "rollout",
    "load_dataset": "data",
    "load_policy": "runs",
    "resume": "training",
    "train": "training",
    "train_seeds": "seeds",
}

__all__ = [
    "Agent",
    "DecisionModel",
    "Evaluation",
    "ModelConfig",
    "Policy",
    "RewardObservation",
    "Run",
    "TrainConfig",
    "Trajectories",
    "evaluate",
    "load_dataset",
    "load_policy",
    "resume",
    "train",
    "train_seeds",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'decision_minrnn' has no attribute '{name}'")
    return getattr(import_module(f"decision_minrnn.{_PUBLIC[name]}"), name)
