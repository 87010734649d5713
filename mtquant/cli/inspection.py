"""`status` and `logs`: what the store says of one run."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mtquant.cli import options
from mtquant.cli.output import console, write_json
from mtquant.cli.progress import age, last_sign
from mtquant.cli.watch import GOING, Look, ending, looks, watch
from mtquant.context import store_root
from mtquant.errors import StoreError, UsageError
from mtquant.store.runs import RunRecord, load_run, run_folder, unit_of_run
from mtquant.store.status import run_status
from mtquant.tracking.location import tracking_uri
from mtquant.tracking.published import pending_units

FOLLOW_SECONDS = 0.5
ENGINE_LOGS = ("flow", "tracking")

WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Go on until the run ends; exit code as it ended.")]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until the run ends.")]
LinesOption = Annotated[int | None, typer.Option("--lines", "-n", min=0, help="Only the last lines of each log.")]
UnitArgument = Annotated[str | None, typer.Argument(metavar="UNIT", help="Unit, `flow` or `tracking`; else all units.")]


def status(run: options.Run = None, follow: WatchOption = False, as_json: options.Json = False) -> None:
    """Show where a run stands: what is finished, running, stopped or dead."""
    root = store_root()
    record = load_run(root, run)
    out = console()
    if follow:
        look = watch(root, record, out, as_json)
        if not as_json:
            _say_more(out, root, look)
        error = ending(look.status)
        if error is not None:
            raise error
        return
    look = next(looks(root, record.run_id, lambda: None))
    if as_json:
        write_json(look.values() | {"tracking_pending": pending_units(root, record, tracking_uri(root))})
        return
    out.print(look.table())
    _say_more(out, root, look)


def _say_more(out: Console, root: Path, look: Look) -> None:
    """Say what waits for MLflow, and how to go on."""
    record = load_run(root, look.status.run_id)
    run, state = record.run_id, look.status.state
    pending = pending_units(root, record, tracking_uri(root))
    if pending and state not in GOING:
        _say(out, f"tracking: {len(pending)} results are not in MLflow yet; `mtquant sync` publishes them")
    if state == "dead":
        ago = age(time.time() - last_sign(root, record))
        _say(out, f"its process ended without a word; the last sign of life was {ago} ago")
    if state in ("stopped", "dead", "failed"):
        _say(out, f"resume with: mtquant resume {run}")


def _say(out: Console, text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def logs(
    run: options.Run = None, unit: UnitArgument = None, follow: FollowOption = False, lines: LinesOption = None
) -> None:
    """Print the log of a unit, or of all units of a run one after the other."""
    root = store_root()
    record = load_run(root, run)
    if unit is not None:
        path = _log_path(root, record, unit)
        if not follow and not path.is_file():
            raise UsageError(f"{unit} of run {record.run_id} has written no log yet.")
    offsets = {} if lines is None else {p: _offset_of_last(p, lines) for p in _log_paths(root, record, unit).values()}
    while True:
        going = run_status(root, record).state in GOING
        # Units become known while the run is prepared, and their folders with them.
        record = load_run(root, record.run_id)
        for name, path in _log_paths(root, record, unit).items():
            for line, end in _lines_from(path, offsets.get(path, 0)):
                sys.stdout.write(line if unit else f"{name}: {line}")
                offsets[path] = end
        sys.stdout.flush()
        if not follow or not going:
            return
        time.sleep(FOLLOW_SECONDS)


def _log_paths(root: Path, record: RunRecord, unit: str | None) -> dict[str, Path]:
    """Return the logs to show; a unit whose folder is damaged has none, unless it was asked for."""
    if unit is not None:
        return {unit: _log_path(root, record, unit)}
    found = {}
    for name in record.units:
        try:
            found[name] = _log_path(root, record, name)
        except StoreError as error:
            sys.stderr.write(f"note: {error}\n")
    return found


def _log_path(root: Path, record: RunRecord, name: str) -> Path:
    if name in ENGINE_LOGS:
        return run_folder(root, record.run_id) / f"{name}.log"
    return unit_of_run(root, record, name).folder / "unit.log"


def _offset_of_last(path: Path, lines: int) -> int:
    """Return where the last `lines` whole lines begin."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    return sum(map(len, whole[: max(0, len(whole) - lines)]))


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
