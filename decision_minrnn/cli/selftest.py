"""`decision-minrnn selftest`: whether this installation computes what it claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.table import Table

from decision_minrnn.cli.console import wide_console
from decision_minrnn.cli.outputs import check_output
from decision_minrnn.cli.parsing import run_command
from decision_minrnn.files import write_json

if TYPE_CHECKING:
    from decision_minrnn.selftest.base import Outcome
    from decision_minrnn.selftest.determinism import Comparison


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and run it."""
    run_command(selftest, "selftest", arguments)


def selftest(device: str = "auto", determinism: bool = False, json: str | None = None) -> None:
    """Check this installation in under a minute, on a device of this machine; exit code 1 if anything is wrong.

    Scans against a loop in float64, encoders' steps against their forward pass, a rollout's bookkeeping where returns
    are known, checkpoints and a resumed training to the bit. Errors are shares of the largest number, if above 1.

    Args:
        device: Where to compute: cpu, cuda, or auto.
        determinism: Report in its place what repeats to the bit here, and what is only close.
        json: File to write the result to as well; - prints it, and nothing else, to the standard output.
    """
    check_output("--json", json)
    from decision_minrnn.devices import torch_device
    from decision_minrnn.ops.kernels import kernels_on
    from decision_minrnn.versions import versions

    chosen, console = torch_device(device), wide_console()
    about = {"device": str(chosen), "versions": versions() | {"kernels": kernels_on(chosen)}}
    if determinism:
        from decision_minrnn.selftest.determinism import comparisons

        compared = list(comparisons(chosen))
        if json is not None:
            rows = [{**row._asdict(), "equal": row.difference == 0} for row in compared]
            write_json(json, {**about, "comparisons": rows})
        if json != "-":
            console.print(_comparison_table(compared))
        return
    from decision_minrnn.selftest.suite import run_checks

    outcomes = list(run_checks(chosen))
    passed = all(outcome.passed for outcome in outcomes)
    if json is not None:
        write_json(json, {**about, "passed": passed, "checks": [_plain(outcome) for outcome in outcomes]})
    if json != "-":
        console.print(_outcome_table(outcomes))
        for outcome in outcomes:
            if outcome.skipped or outcome.fault:
                reason = f"failed: {outcome.fault}" if outcome.fault else f"skipped: {outcome.skipped}"
                console.print(f"{outcome.name} {reason}", markup=False, highlight=False, soft_wrap=True)
        seconds = sum(outcome.seconds for outcome in outcomes)
        console.print(f"{'passed' if passed else 'FAILED'} on {chosen}, {seconds:.0f} s", highlight=False)
    if not passed:
        raise SystemExit(1)


def _plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON has it: an error that is not finite is null."""
    findings = [
        {**finding._asdict(), "error": finding.error if isfinite(finding.error) else None, "passed": finding.passed}
        for finding in outcome.findings
    ]
    return {
        "name": outcome.name,
        "passed": outcome.passed,
        "skipped": outcome.skipped,
        "fault": outcome.fault,
        "seconds": outcome.seconds,
        "findings": findings,
    }


def _outcome_table(outcomes: Iterable[Outcome]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column, justify in (("check", "left"), ("what", "left"), ("error", "right"), ("bound", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for outcome in outcomes:
        for finding in outcome.findings:
            verdict = "ok" if finding.passed else "[bold red]FAILED[/]"
            table.add_row(outcome.name, finding.what, f"{finding.error:.1e}", f"{finding.bound:.1e}", verdict)
    return table


def _comparison_table(compared: Iterable[Comparison]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("what differs")
    table.add_column("result")
    for row in compared:
        table.add_row(row.what, "equal to the bit" if row.difference == 0 else f"{row.difference:.1e} apart")
    return table
