"""`save_pretrained`, `from_pretrained` and `push_to_hub` of a policy, on the hub by huggingface_hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

from decision_minrnn.checkpoint import model_content, read_model
from decision_minrnn.config import Memory, ModelConfig
from decision_minrnn.data.web import forbidden_by
from decision_minrnn.errors import CheckpointError
from decision_minrnn.files import write_bytes_atomically
from decision_minrnn.model import DecisionModel
from decision_minrnn.origin import Origin
from decision_minrnn.sharing.config import SharedPolicy, cards_json, without_folders

WEIGHTS, CONFIG, CARDS, README = "model.safetensors", "config.json", "cards.json", "README.md"
VIDEO = "replay.mp4"
"""A recorded episode: the hub shows a file of this name beside the model card."""
HUB = "hf://"
"""May stand before a hub id, where it could be taken for a path."""

Policy = TypeVar("Policy", bound="Shareable")


def is_shared(name: str | Path) -> bool:
    """Whether a name is that of a shared policy: a folder that holds one, or a hub id, rather than the path of a run.

    `owner/name` is a hub id where there is no folder `owner`, and `hf://owner/name` always.
    """
    path, word = Path(name), str(name)
    if path.is_dir():
        return (path / WEIGHTS).is_file()
    return word.startswith(HUB) or (len(path.parts) == 2 and len(word.split("/")) == 2 and not path.parent.exists())


class Published(NamedTuple):
    """Where a policy is on the hub: addresses."""

    repository: str
    commit: str


class Shareable:
    """What `Policy` has of being shared, by the methods that huggingface_hub's own mixin has."""

    model: DecisionModel
    memory: Memory
    context: int | None
    sampled: bool
    origin: Origin | None

    @classmethod
    def from_pretrained(cls: type[Policy], pretrained_model_name_or_path: str | Path, **options: Any) -> Policy:
        """The policy in a folder or on the hub.

        Args:
            pretrained_model_name_or_path: a folder that `save_pretrained` wrote, or a hub id: `owner/name`, or
                `hf://owner/name`.
            options: `memory`, `context` and `sampled` in place of the shared policy's own; `revision`, `token`,
                `cache_dir`, `force_download` and `local_files_only` of huggingface_hub.

        Raises:
            CheckpointError: nothing of that name, no connection, or files that are damaged or of another version.
            ConfigError: a memory or sampling that the model does not have.
        """
        acting = {name: options.pop(name) for name in ("memory", "context", "sampled") if name in options}
        config, weights = _files(str(pretrained_model_name_or_path).removeprefix(HUB), options)
        shared = SharedPolicy.read(config)
        model = read_model(weights, ModelConfig, DecisionModel)
        own = {"memory": shared.memory, "context": shared.context, "sampled": shared.sampled}
        return cls(model, **own | acting, origin=shared.origin)  # type: ignore[call-arg]  # which are Policy's

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the policy to a folder, which is made if it is not there; files of the same names are replaced."""
        # imported here: its metadata is huggingface_hub's, which takes longer to import than a policy to load
        from decision_minrnn.sharing.card import model_card

        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        origin = self.origin and replace(self.origin, run=without_folders(self.origin.run))
        files = {
            WEIGHTS: model_content(self.model),
            CONFIG: SharedPolicy(self.memory, self.context, self.sampled, origin).to_json().encode(),
            CARDS: cards_json(origin).encode(),
            README: model_card(self.model.config, origin).encode(),
        }
        for name, content in files.items():
            write_bytes_atomically(folder / name, content)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Write the policy to a model repository of the hub, which is made if it is not there, as one commit.

        Args:
            repo_id: `owner/name`.
            options: `private`, `token`, `branch` and `commit_message`, as of `upload`.

        Returns:
            The commit's address.

        Raises:
            CheckpointError: no connection, or no right to write there.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return upload(Path(folder), repo_id, **options).commit


def upload(
    folder: Path,
    repo_id: str,
    private: bool = False,
    token: str | bool | None = None,
    branch: str | None = None,
    commit_message: str = "Share a policy",
) -> Published:
    """Bring a shared policy's folder to a model repository of the hub, which is made if it is not there.

    Other files in the folder stay here.

    Args:
        folder: that `save_pretrained` wrote.
        repo_id: `owner/name`.
        private: whether a repository that is made is private.
        token: of the hub; by default the one that `hf auth login` left.
        branch: to commit to; by default the main one.
        commit_message: in one line.

    Raises:
        CheckpointError: no connection, or no right to write there.
    """
    from huggingface_hub import HfApi

    repo_id = repo_id.removeprefix(HUB)
    with hub_errors(repo_id):
        api = HfApi(token=token)
        made = api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=[WEIGHTS, CONFIG, CARDS, README, VIDEO],
            revision=branch,
            commit_message=commit_message,
        )
        return Published(str(made), commit.commit_url)


def _files(name: str, options: dict[str, Any]) -> tuple[Path, Path]:
    """Configuration and weights of a shared policy, downloaded if it is on the hub."""
    if Path(name).is_dir():
        for file in (CONFIG, WEIGHTS):
            if not (Path(name) / file).is_file():
                raise CheckpointError(f"{name} holds no shared policy: it has no {file}.")
        return Path(name) / CONFIG, Path(name) / WEIGHTS
    with hub_errors(name):
        from huggingface_hub import hf_hub_download

        if forbidden_by("HF_HUB_OFFLINE"):
            options = options | {"local_files_only": True}
        return Path(hf_hub_download(name, CONFIG, **options)), Path(hf_hub_download(name, WEIGHTS, **options))


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """What goes wrong between here and the hub, as a `CheckpointError` that says what to do."""
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, HTTPError, RepositoryNotFoundError

    try:
        yield
    except HFValidationError as error:
        raise CheckpointError(
            f"{name} is neither a folder that is here nor the id of a model on the hub, which is owner/name."
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"there is no folder {name}, and the hub has no model of that name, or it is private: `hf auth login` "
            "gives access to those."
        ) from error
    except EntryNotFoundError as error:
        if isinstance(error, FileNotFoundError):
            raise CheckpointError(
                f"the hub cannot be reached, and {name} was not downloaded before. Check the connection, and the "
                "environment variables HF_HUB_OFFLINE and DECISION_MINRNN_OFFLINE."
            ) from error
        raise CheckpointError(f"{name} on the hub is not a policy of this project: it lacks a file.") from error
    except (OSError, HTTPError) as error:
        raise CheckpointError(f"{name} cannot be used: {error}") from error
