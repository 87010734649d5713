"""`runs list`, `show`, `diff` and `rm`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mtquant.cli import options
from mtquant.cli.comparison import compare, say_comparison
from mtquant.cli.output import console, write_json
from mtquant.cli.tables import styled
from mtquant.context import store_root
from mtquant.errors import LockedError, MTQuantError, UsageError
from mtquant.store.garbage import RUN_ENTRIES, remove, unknown_files
from mtquant.store.references import is_promoted
from mtquant.store.runs import RunRecord, begin_lock, find_run, list_runs, load_run, run_folder, run_lock, unit_of_run
from mtquant.store.status import RunStatus, run_status
from mtquant.tracking.describe import CREATED, first_event

runs_app = typer.Typer(help="The runs in the store: list, show, compare, remove.", no_args_is_help=True)
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, or its beginning.")]
METRICS_SHOWN = 20


@runs_app.command("list")
def runs_list(as_json: options.Json = False) -> None:
    """List all runs, oldest first."""
    root = store_root()
    found = [_summary(root, run_id) for run_id in list_runs(root)]
    if as_json:
        write_json(found)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "state", "units", "profile", "data", "seed", "engine"):
        table.add_column(name, no_wrap=True)
    for entry in found:
        cells = (str(entry[name]) for name in ("units", "profile", "data", "seed", "engine"))
        table.add_row(entry["run"], styled(entry["state"]), *cells)
    console().print(table if found else f"There is no run in {root.absolute()}. Start one with `mtquant train`.")


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
        write_json(values)
        return
    out = console()
    for name in ("run", "state", "created", "profile", "data", "seed", "engine", "folder"):
        out.print(f"{name}: {values[name]}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"command: {' '.join(record.command)}", markup=False, highlight=False, soft_wrap=True)
    _print_results(out, found, values["unit_results"])


@runs_app.command("diff")
def runs_diff(
    ours: Annotated[str, typer.Argument(metavar="A", help="A run, or the beginning of its name.")],
    theirs: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: options.Json = False,
) -> None:
    """Compare two runs: settings, units and why they differ, final metrics."""
    root = store_root()
    found = compare(root, load_run(root, ours), load_run(root, theirs))
    if as_json:
        write_json(found.values())
    else:
        say_comparison(console(), found)


@runs_app.command("rm")
def runs_rm(run: RunArgument) -> None:
    """Remove a run's record; `mtquant gc` then lists the units that nothing else refers to."""
    root = store_root()
    run_id = find_run(root, run)
    if is_promoted(root, run_id):
        raise UsageError(
            f"The run {run_id} is challenger or champion, or one to roll back to; what may be served stays."
        )
    try:
        with begin_lock(root, run_id), run_lock(root, run_id):
            _refuse_at_work(root, run_id)
            _refuse_unknown(run_folder(root, run_id))
            remove(run_folder(root, run_id))
    except LockedError as error:
        raise LockedError(f"{error} A run at work is not removed; first: mtquant stop {run_id}") from error
    typer.echo(f"Removed the record of run {run_id}. `mtquant gc` lists the units that nothing refers to any more.")


def _refuse_at_work(root: Path, run_id: str) -> None:
    """Raise `LockedError` where units of the run are still held although its engine is gone."""
    try:
        units = run_status(root, load_run(root, run_id)).units
    except MTQuantError:
        # A damaged record names no unit; it may go.
        return
    for unit in units:
        if unit.holder is not None:
            raise LockedError(f"{unit.name} of run {run_id} is held by {unit.holder}.")


def _refuse_unknown(folder: Path) -> None:
    """Raise `UsageError` where somebody put files of their own into the run's folder."""
    if unknown := unknown_files(folder, RUN_ENTRIES):
        raise UsageError(f"{folder} holds {', '.join(unknown[:5])}, which the store did not write. Move it away first.")


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


def _print_results(out: Console, found: RunStatus, results: dict[str, dict[str, Any]]) -> None:
    for unit in found.units:
        result = results[unit.name]
        out.print(f"\n[bold]{unit.name}[/] {styled(unit.state)}  {result.get('folder', '')}", soft_wrap=True)
        if "message" in result:
            out.print(f"  {result['message']}", markup=False, highlight=False, soft_wrap=True)
        metrics = list(result.get("metrics", {}).items())
        for name, value in metrics[:METRICS_SHOWN]:
            out.print(f"  {name}: {value:.6g}", markup=False, highlight=False)
        if len(metrics) > METRICS_SHOWN:
            out.print(f"  and {len(metrics) - METRICS_SHOWN} more (`--json` has all)", markup=False, highlight=False)
