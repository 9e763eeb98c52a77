"""`decision-minrnn data collect ENV`: record a dataset, with a policy that is trained for it."""

from __future__ import annotations

from dataclasses import asdict

import tyro

from decision_minrnn.collection.config import CollectConfig

Config = tyro.conf.OmitArgPrefixes[tyro.conf.PositionalRequiredArgs[CollectConfig]]


def collect_dataset(config: Config, json: str | None = None) -> None:
    """Record a dataset of one of D4RL's tiers in any environment; trains SAC for it (extra: collect).

    What is trained is kept: the same command goes on after Ctrl-C, SIGTERM or a crash, and other tiers are recorded
    from the same training.

    Args:
        json: Write what was recorded as JSON to this file, or to standard output if "-".
    """
    from decision_minrnn.cli.console import progress_console, wide_console
    from decision_minrnn.cli.outputs import check_output
    from decision_minrnn.collection.collect import collect
    from decision_minrnn.files import write_json
    from decision_minrnn.progress import Progress
    from decision_minrnn.scores import normalized_score

    check_output("--json", json)
    with Progress(progress_console(stderr=json == "-")) as progress:
        path, data = collect(config, progress)
    returns, reference = data.returns, data.references.get("measured")
    score = normalized_score(float(returns.mean()), reference) if reference else None
    if json is not None:
        facts = {
            "dataset": str(path),
            "env_id": data.env_id,
            "tier": config.tier,
            "source": data.source,
            "steps": data.steps,
            "episodes": data.episodes,
            "return_mean": float(returns.mean()),
            "return_std": float(returns.std()),
            "normalized_mean": score,
            "reference": asdict(reference) if reference else None,
        }
        write_json(json, facts)
    if json != "-":
        spread = f"{returns.mean():.1f} ± {returns.std():.1f} ({returns.min():.1f} to {returns.max():.1f})"
        scored = "none: no expert is known that is better than random"
        if reference is not None:
            scored = f"{score:.1f} (0 at {reference.min:.1f}, 100 at {reference.max:.1f})"
        for line in (
            f"recorded  {data.steps:,} steps in {data.episodes:,} episodes, return {spread}",
            f"score     {scored}",
            f"written   {path}",
        ):
            wide_console().print(line, soft_wrap=True, highlight=False, markup=False)
