"""`status --watch`: a run followed until it ends."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mtquant.cli.progress import Progress, UnitProgress
from mtquant.cli.tables import status_table, styled
from mtquant.cli.view import PlainView
from mtquant.errors import MTQuantError, Preempted, TrainingError
from mtquant.evaluation.alarms import run_alarms
from mtquant.store.runs import RunRecord, load_run
from mtquant.store.status import RunStatus, run_notes

LOOK_SECONDS = 1.0
GOING = ("preparing", "running")


@dataclass(frozen=True)
class Look:
    """A run at one moment."""

    status: RunStatus
    units: list[UnitProgress]
    notes: tuple[str, ...]

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values: dict[str, Any] = asdict(self.status) | {"notes": self.notes}
        for entry, unit in zip(values["units"], self.units, strict=True):
            entry |= {"steps_per_second": unit.rate, "seconds_to_go": unit.eta}
        return values

    def table(self) -> Group:
        """Return it for a terminal."""
        rates = {unit.status.name: (unit.rate, unit.eta) for unit in self.units}
        shown = status_table(self.status, rates) if self.units else Text("its units are not known yet")
        return Group(headline(self.status), shown, *(Text(note) for note in self.notes))


def headline(status: RunStatus) -> Text:
    """Return the run, its state and who holds it."""
    held = f", held by {status.holder}" if status.holder else ""
    return Text.from_markup(f"run {status.run_id}: {styled(status.state)}{held}")


def looks(root: Path, run_id: str, pause: Callable[[], None]) -> Iterator[Look]:
    """Yield the run now and after every `pause` until it has ended."""
    progress = Progress(root, load_run(root, run_id))
    while True:
        # Units are written into the record while the run is prepared.
        progress.record = load_run(root, run_id)
        status, units = progress.look()
        yield Look(status, units, (*run_notes(root, run_id), *alarm_notes(root, progress.record)))
        if status.state not in GOING:
            return
        pause()


def alarm_notes(root: Path, record: RunRecord) -> tuple[str, ...]:
    """Return what the learning curves of a run give reason to look at."""
    return tuple(f"alarm, {unit}: {alarm}" for unit, found in run_alarms(root, record).items() for alarm in found)


def wait_a_moment() -> None:
    """Wait until it is worth looking again."""
    time.sleep(LOOK_SECONDS)


def watch(
    root: Path, record: RunRecord, out: Console, as_json: bool, pause: Callable[[], None] = wait_a_moment
) -> Look:
    """Show a run until it ends and return its last state: a table on a terminal, else lines at changes."""
    found = looks(root, record.run_id, pause)
    if as_json:
        return _watch_json(found)
    if not out.is_terminal:
        return _watch_lines(found, out)
    with Live(console=out, auto_refresh=False) as live:
        for look in found:
            live.update(look.table(), refresh=True)
    return look


def _watch_json(found: Iterator[Look]) -> Look:
    """Write one line per change; speed and its consequences are no change."""
    before: dict[str, Any] = {}
    for look in found:
        now = asdict(look.status) | {"notes": look.notes}
        if now != before:
            sys.stdout.write(json.dumps({"wall": round(time.time(), 3), **look.values()}, default=str) + "\n")
            sys.stdout.flush()
        before = now
    return look


def _watch_lines(found: Iterator[Look], out: Console) -> Look:
    view, state, told = PlainView(out), "", 0
    for look in found:
        if look.status.state != state:
            state = look.status.state
            view.say(headline(look.status).plain)
        for note in look.notes[told:]:
            view.say(note)
        told = len(look.notes)
        view.show(look.units)
    return look


def ending(status: RunStatus) -> MTQuantError | None:
    """Return the error with which a command that followed the run ends, or None after success."""
    run, resume = status.run_id, f"mtquant resume {status.run_id}"
    if status.state == "failed":
        names = ", ".join(unit.name for unit in status.units if unit.state in ("failed", "damaged"))
        return TrainingError(f"The run {run} failed in {names}. After mending the cause: {resume}")
    if status.state == "stopped":
        return Preempted(f"The run {run} was stopped; its state is kept. Continue exactly with: {resume}")
    if status.state == "dead":
        return Preempted(f"The run {run} is dead: its process ended without a word. Continue exactly with: {resume}")
    return None
