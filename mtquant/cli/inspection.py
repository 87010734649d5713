"""`status`, `runs` and `logs`: what the store says."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mtquant.cli import options
from mtquant.cli.progress import Progress
from mtquant.cli.tables import status_table, styled
from mtquant.context import store_root
from mtquant.errors import MTQuantError, UsageError
from mtquant.store.runs import RunRecord, list_runs, load_run, run_folder, unit_of_run
from mtquant.store.status import RunStatus, run_status
from mtquant.tracking.describe import CREATED, first_event
from mtquant.tracking.location import tracking_uri
from mtquant.tracking.published import pending_units

FOLLOW_SECONDS = 0.5
ENGINE_LOGS = ("flow", "tracking")

runs_app = typer.Typer(help="The runs in the store.", no_args_is_help=True)


def status(run: options.Run = None, as_json: options.Json = False) -> None:
    """Show where a run stands: what is finished, running, stopped or dead."""
    root = store_root()
    record = load_run(root, run)
    found, units = Progress(root, record).look()
    pending = pending_units(root, record, tracking_uri(root))
    if as_json:
        values: dict[str, Any] = asdict(found) | {"tracking_pending": pending}
        for entry, unit in zip(values["units"], units, strict=True):
            entry |= {"steps_per_second": unit.rate, "seconds_to_go": unit.eta}
        _write(values)
        return
    console = _console()
    console.print(f"run {found.run_id}: {styled(found.state)}" + (f", held by {found.holder}" if found.holder else ""))
    console.print(status_table(found, {unit.status.name: (unit.rate, unit.eta) for unit in units}))
    if pending:
        console.print(f"tracking: {len(pending)} units pending; `mtquant sync` publishes them", markup=False)
    if found.state in ("stopped", "dead", "failed"):
        console.print(f"continue with: mtquant resume {found.run_id}", markup=False, highlight=False)


@runs_app.command("list")
def runs_list(as_json: options.Json = False) -> None:
    """List all runs, oldest first."""
    root = store_root()
    found = [_summary(root, run_id) for run_id in list_runs(root)]
    if as_json:
        _write(found)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "state", "units", "profile", "data", "seed", "engine"):
        table.add_column(name, no_wrap=True)
    for entry in found:
        cells = (str(entry[name]) for name in ("units", "profile", "data", "seed", "engine"))
        table.add_row(entry["run"], styled(entry["state"]), *cells)
    _console().print(table if found else f"There is no run in {root.absolute()}. Start one with `mtquant train`.")


@runs_app.command("show")
def runs_show(run: options.Run = None, as_json: options.Json = False) -> None:
    """Show one run: command, units with their folders and results."""
    root = store_root()
    record = load_run(root, run)
    found = run_status(root, record)
    values = _summary(root, record.run_id) | {
        "command": record.command,
        "created": record.created,
        "folder": str(run_folder(root, record.run_id).absolute()),
        "config": record.config,
        "unit_results": {unit.name: _result(root, record, unit.name) for unit in found.units},
    }
    if as_json:
        _write(values)
        return
    console = _console()
    for name in ("run", "state", "created", "profile", "data", "seed", "engine", "folder"):
        console.print(f"{name}: {values[name]}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"command: {' '.join(record.command)}", markup=False, highlight=False, soft_wrap=True)
    _print_results(console, found, values["unit_results"])


def logs(
    run: options.Run = None,
    unit: Annotated[str | None, typer.Argument(metavar="[UNIT]", help="Unit, `flow` or `tracking`.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until the run ends.")] = False,
) -> None:
    """Print the log of a unit, or of all units of a run one after the other."""
    root = store_root()
    record = load_run(root, run)
    names = [unit] if unit else list(record.units)
    paths = {name: _log_path(root, record, name) for name in names}
    if unit and not follow and not paths[unit].is_file():
        raise UsageError(f"{unit} of run {record.run_id} has written no log yet.")
    offsets = dict.fromkeys(names, 0)
    while True:
        running = run_status(root, record).state in ("running", "preparing")
        for name, path in paths.items():
            for line, end in _lines_from(path, offsets[name]):
                sys.stdout.write(line if unit else f"{name}: {line}")
                offsets[name] = end
        sys.stdout.flush()
        if not follow or not running:
            return
        time.sleep(FOLLOW_SECONDS)


def _summary(root: Path, run_id: str) -> dict[str, Any]:
    try:
        record = load_run(root, run_id)
        found = run_status(root, record)
    except MTQuantError as error:
        # One damaged record must not hide the others.
        unknown = dict.fromkeys(("units", "profile", "data", "seed", "engine"), "?")
        return {"run": run_id, "state": "damaged", **unknown, "message": str(error)}
    done = sum(unit.state == "done" for unit in found.units)
    return {
        "run": run_id,
        "state": found.state,
        "units": f"{done}/{len(found.units)}",
        "profile": str(first_event(root, run_id, CREATED).get("profile", "")),
        "data": record.config.get("data", {}).get("source"),
        "seed": record.config.get("seed"),
        "engine": record.engine,
    }


def _result(root: Path, record: RunRecord, name: str) -> dict[str, Any]:
    try:
        unit = unit_of_run(root, record, name)
        done = unit.done()
    except MTQuantError as error:
        return {"message": str(error)}
    found: dict[str, Any] = {"folder": str(unit.folder.absolute())}
    if done is not None:
        found |= {"metrics": done.metrics, "attempts": done.attempts, "wall_seconds": done.wall_seconds}
    return found


def _print_results(console: Console, found: RunStatus, results: dict[str, dict[str, Any]]) -> None:
    for unit in found.units:
        result = results[unit.name]
        console.print(f"\n[bold]{unit.name}[/] {styled(unit.state)}  {result.get('folder', '')}", soft_wrap=True)
        for name, value in list(result.get("metrics", {}).items())[:20]:
            console.print(f"  {name}: {value:.6g}", markup=False, highlight=False)


def _log_path(root: Path, record: RunRecord, name: str) -> Path:
    if name in ENGINE_LOGS:
        return run_folder(root, record.run_id) / f"{name}.log"
    return unit_of_run(root, record, name).folder / "unit.log"


def _lines_from(path: Path, offset: int) -> Iterator[tuple[str, int]]:
    """Yield the whole lines after `offset`, each with the offset behind it."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line.decode(errors="replace"), offset


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=140)


def _write(values: Any) -> None:
    sys.stdout.write(json.dumps(values, indent=1, default=str) + "\n")
