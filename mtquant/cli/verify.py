"""`verify`: do a unit's work again and compare it, update by update."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mtquant.cli import options
from mtquant.context import STORE_VARIABLE, store_root
from mtquant.errors import GateError, MTQuantError, StoreError, UsageError
from mtquant.execution.numerics import thread_variables, threads
from mtquant.store.runs import RunRecord, list_runs, load_run
from mtquant.store.status import run_status

COMMAND = (sys.executable, "-m", "mtquant.execution.verifying")
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN] [UNIT]...", help="Run (else the newest) and units (else all of it)."),
]


def verify(
    names: Names = None,
    full: Annotated[
        bool, typer.Option("--full", help="Repeat each unit from its beginning, not one interval.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Check files against their digests, repeat an interval of each trained unit and compare every update."""
    root = store_root()
    record, units = chosen(root, names or [])
    verdicts = [_verdict(root, record, unit, full=full) for unit in units]
    if as_json:
        typer.echo(json.dumps(verdicts, indent=1))
    else:
        console = Console(soft_wrap=True)
        for verdict in verdicts:
            console.print(line_of(verdict), style="" if verdict["equal"] else "red", markup=False, highlight=False)
    different = [verdict["unit"] for verdict in verdicts if not verdict["equal"]]
    if different:
        raise GateError(
            f"{', '.join(different)}: not what was recorded, see above. Damage is mended by `mtquant resume`. Equal "
            "results are promised for the same locked packages, processor, device and threads (docs/resume.md); where "
            "those are the same, a difference is a defect worth reporting."
        )


def chosen(root: Path, names: list[str]) -> tuple[RunRecord, list[str]]:
    """Return the run and the units that the arguments name; a first argument that is no run is a unit of the newest."""
    is_run = bool(names) and any(run.startswith(names[0]) for run in list_runs(root))
    record = load_run(root, names[0] if is_run else None)
    units = names[1:] if is_run else names
    if unknown := [name for name in units if name not in record.units]:
        raise UsageError(f"The run {record.run_id} has no unit `{unknown[0]}`; it has {', '.join(record.units)}.")
    begun = [unit.name for unit in run_status(root, record).units if unit.attempts]
    return record, units or begun


def line_of(verdict: dict[str, Any]) -> str:
    """Return one verdict for people."""
    text = f"{verdict['unit']}: {verdict['message']}"
    if verdict["updates"]:
        text += f" ({verdict['updates']} updates repeated, steps {verdict['start']:,} to {verdict['end']:,})"
    return "\n  ".join([text, *verdict["notes"]])


def _verdict(root: Path, record: RunRecord, unit: str, *, full: bool) -> dict[str, Any]:
    """Verify one unit in a process of its own, with the threads that units have."""
    arguments = [*COMMAND, "--run", record.run_id, "--unit", unit, *(["--full"] if full else [])]
    environment = os.environ | thread_variables(threads()) | {STORE_VARIABLE: str(root.absolute())}
    done = subprocess.run(arguments, stdout=subprocess.PIPE, env=environment, text=True, check=False)
    lines = done.stdout.splitlines()
    if not lines:
        raise MTQuantError(f"The process that verified {unit} ended with exit code {done.returncode}; see above.")
    found: dict[str, Any] = json.loads(lines[-1])
    if "error" not in found:
        return found
    if done.returncode != StoreError.exit_code:
        from mtquant.cli.engines import error_of

        raise error_of(done.returncode, found["error"])
    # Damage of one unit must not hide the others.
    return {"unit": unit, "equal": False, "updates": 0, "start": 0, "end": 0, "message": found["error"], "notes": []}
