"""The model card: what a policy is, how to use it, what it scored under which protocol, and what it cannot do."""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCardData

from decision_minrnn.config import ModelConfig
from decision_minrnn.evaluation import Evaluation, TargetResult
from decision_minrnn.origin import Origin
from decision_minrnn.versions import versions

USE = """```python
import decision_minrnn as dm

policy = dm.Policy.from_pretrained("OWNER/NAME")  # or the path of this folder
policy.reset(1, target_return={target:g})
action = policy.act(observation[None])  # then policy.act(observation[None], [reward])
```

```sh
decision-minrnn evaluate hf://OWNER/NAME --episodes 100
```"""


def model_card(config: ModelConfig, origin: Origin | None) -> str:
    """The text of README.md, with the hub's metadata before it."""
    task = origin.run.task if origin else None
    env_id = (task and task.env_id) or "an environment of its own"
    target = task.targets[0] if task and task.targets else 1000.0
    parts = [
        f"---\n{_metadata(config, origin).to_yaml()}\n---",
        f"# {config.encoder} policy for {env_id}",
        f"A return-conditioned policy: told the return to reach, it acts one step at a time. Its encoder is "
        f"{config.layers} blocks of {config.encoder}, width {config.width}, over {config.tokens} tokens; observations "
        f"of size {config.observation_size}, {_actions(config)}.",
        USE.format(target=target),
        "## Scores",
        _scores(origin.evaluation) if origin and origin.evaluation else "Not evaluated.",
        "## Training",
        _training(origin) if origin else "Not recorded.",
        "## Limits",
        _limits(origin),
        "## Versions",
        ", ".join(f"{name} {version}" for name, version in (origin.run.versions if origin else versions()).items()),
    ]
    return "\n\n".join(parts) + "\n"


def _actions(config: ModelConfig) -> str:
    return f"{config.action_size} choices" if config.discrete else f"actions of size {config.action_size}"


def _metadata(config: ModelConfig, origin: Origin | None) -> ModelCardData:
    """For the hub's search, and its table of results."""
    task, evaluation = origin.run.task if origin else None, origin.evaluation if origin else None
    environment = task.env_id if task else None
    tags = ["reinforcement-learning", "offline-reinforcement-learning", "decision-transformer", config.encoder]
    results = [] if evaluation is None else [_result(row, evaluation.env_id) for row in evaluation.targets]
    return ModelCardData(
        library_name="decision_minrnn",
        pipeline_tag="reinforcement-learning",
        tags=[*tags, *([environment] if environment else [])],
        model_name=f"{config.encoder}-{environment}" if results else None,
        eval_results=results or None,
    )


def _result(row: TargetResult, env_id: str) -> EvalResult:
    return EvalResult(
        task_type="reinforcement-learning",
        dataset_type=env_id,
        dataset_name=env_id,
        metric_type="mean_reward",
        metric_name=f"return at target {row.target_return:g}",
        metric_value=f"{row.return_mean:.2f} +/- {row.return_std:.2f}",
    )


def _scores(evaluation: Evaluation) -> str:
    """A row for each target, and the protocol under it."""
    lines = ["| target | episodes | return | least…most | length | score |", "|---|---|---|---|---|---|"]
    for row in evaluation.targets:
        score = "-" if row.normalized_mean is None else f"{row.normalized_mean:.1f} ± {row.normalized_std:.1f}"
        lines.append(
            f"| {row.target_return:g} | {row.episodes} | {row.return_mean:.1f} ± {row.return_std:.1f} | "
            f"{row.return_min:.1f}…{row.return_max:.1f} | {row.length_mean:.0f} | {score} |"
        )
    reference = (
        f"score 0 is a return of {evaluation.reference_min:g}, 100 one of {evaluation.reference_max:g} (reference "
        f"{evaluation.reference})"
        if evaluation.reference
        else "no reference scores are known"
    )
    seeds = f"{evaluation.seeds[0]} to {evaluation.seeds[-1]}"
    actions = "drawn" if evaluation.sampled else "the policy's best"
    protocol = (
        f"{evaluation.env_id}; checkpoint: {evaluation.checkpoint}; {evaluation.memory} memory; actions: {actions}; "
        f"one seed an episode, {seeds}; ±: deviation over episodes; {reference}."
    )
    return "\n".join(lines) + f"\n\n{protocol}"


def _training(origin: Origin) -> str:
    train = origin.run.train
    return (
        f"{origin.run.dataset}. {train.updates} updates of {train.batch_size} rows of {train.context} steps, seed "
        f"{train.seed}; these weights: {origin.checkpoint}. Every setting is in `config.json`, the cards of "
        f"environment and dataset in `cards.json`."
    )


def _limits(origin: Origin | None) -> str:
    seen = (
        f" The data holds returns from {origin.run.task.return_min:g} to {origin.run.task.return_max:g}; what it does "
        "at a target far outside is chance."
        if origin
        else ""
    )
    return (
        f"It imitates recorded trajectories and cannot combine what none of them shows.{seen} Scores hold for the "
        "environment and versions named here. It has not been tried on hardware."
    )
