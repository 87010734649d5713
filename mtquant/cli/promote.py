"""`promote`: move an alias of the model registry to a run's policy, through the gate, or back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mtquant.cli import options
from mtquant.cli.failures import say_note
from mtquant.context import store_root
from mtquant.errors import UsageError
from mtquant.store.promotions import CHAMPION, ROLLBACK, Assignment

PATIENCE_SECONDS = 20.0
RunArgument = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Run to promote (a beginning suffices); else the challenger's.")
]
AliasOption = Annotated[str, typer.Option("--alias", help="`champion` (through the gate) or `challenger`.")]
RollbackOption = Annotated[bool, typer.Option("--rollback", help="Go back to where the alias stood before.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Pass over figures that are not met; needs --reason.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the record.")]


def promote(
    run: RunArgument = None,
    alias: AliasOption = CHAMPION,
    rollback: RollbackOption = False,
    force: ForceOption = False,
    reason: ReasonOption = "",
    as_json: options.Json = False,
) -> None:
    """Make a run's policy the champion if it earned it out of sample, or roll back to the champion before."""
    from mtquant.execution.registering import promote as promoted
    from mtquant.execution.registering import roll_back

    root = store_root()
    if rollback and (run or force):
        raise UsageError("--rollback goes to the policy before; it takes neither a run nor --force.")
    if rollback:
        made = roll_back(root, alias=alias, reason=reason)
    else:
        made = promoted(root, run, alias=alias, force=force, reason=reason)
    mirrored = _mirrored(root)
    if as_json:
        typer.echo(json.dumps(asdict(made) | {"mirrored": mirrored}, indent=1))
        return
    for line in lines_of(made):
        typer.echo(line)


def lines_of(made: Assignment) -> list[str]:
    """Return what a person wants to know of a movement."""
    policy = made.policy
    how = {ROLLBACK: "again, after a rollback"}.get(made.verdict, made.verdict)
    lines = [f"{made.alias}: run {policy.run_id}, {policy.stage} ({how}; entry {made.number} of {made.when})"]
    lines += [f"  {_figure(name, values)}" for name, values in made.figures.items()]
    return [*lines, *([f"  reason: {made.reason}"] if made.reason else [])]


def _figure(against: str, values: dict[str, Any]) -> str:
    mark = "+" if values["met"] else "x"
    if values.get("problem"):
        return f"{mark} against {against}: {values['problem']}"
    if values["low"] is None:
        return f"{mark} against {against}: too few days for an interval"
    return f"{mark} against {against}: {values['value']:+.2%} per year ({values['low']:+.2%} to {values['high']:+.2%})"


def _mirrored(root: Path) -> bool:
    """Bring the aliases into MLflow, and say where that has to wait."""
    from mtquant.tracking.publisher import Publisher

    try:
        Publisher(root, patience=PATIENCE_SECONDS).mirror()
    except Exception as error:  # noqa: BLE001
        # A tracker can fail in any way; the record is written and stands.
        text = str(error).splitlines()[0] if str(error) else ""
        say_note(f"recorded, but not in MLflow yet ({type(error).__name__}: {text}); `mtquant sync` brings it there.")
        return False
    return True
