"""What the store says about a run: finished, running, stopped, dead; nothing else is asked."""

import json
from dataclasses import dataclass
from pathlib import Path

from mtquant.errors import Preempted, StoreError
from mtquant.store.digests import canonical_json
from mtquant.store.files import guarded, write_atomic
from mtquant.store.locks import Holder
from mtquant.store.runs import RunRecord, begin_holder, read_events, run_holder, unit_of_run
from mtquant.store.units import Unit

ERROR = "error.json"
STOP_ASKED = "stop-asked"
"""Event: `pid` and `since` of the process that was asked to stop."""
RESTARTED = "restarted"
"""Event: a unit starts again from step 0 because all its checkpoints are damaged (`unit`, `attempt`, `message`)."""
_STOPPED = (Preempted.exit_code, 130)
"""Exit codes of a clean stop and of an interrupt before one was possible."""
STATES = ("done", "running", "stopped", "failed", "dead", "damaged", "waiting")
"""`dead`: an attempt began and its process is gone without a word; `waiting`: no attempt began."""


@dataclass(frozen=True)
class UnitError:
    """How an attempt ended that did not finish: `error.json` of the unit."""

    attempt: int
    exit_code: int
    type: str
    message: str
    transient: bool
    """Whether the same attempt may succeed when it is made again."""


@dataclass(frozen=True)
class UnitStatus:
    """A unit as the store shows it; `step` is the newest journal line's, `checkpoint` where it would continue."""

    name: str
    state: str
    step: int
    total_steps: int
    checkpoint: int | None
    attempts: int
    message: str
    holder: Holder | None = None


@dataclass(frozen=True)
class RunStatus:
    """A run as the store shows it; `state` is `preparing`, `done`, `running`, `failed`, `stopped` or `dead`.

    `preparing` lasts until the engine has begun, also where the units are known already.
    """

    run_id: str
    state: str
    units: tuple[UnitStatus, ...]
    holder: Holder | None = None


def write_error(unit: Unit, error: UnitError) -> None:
    """Record how the attempt ended, for the supervisor and for `status`."""
    write_atomic(unit.folder / ERROR, canonical_json(vars(error)))


def read_error(unit: Unit) -> UnitError | None:
    """Return how the newest attempt ended if it said so, else None."""
    path = unit.folder / ERROR
    try:
        with guarded(path, "read", passing=(FileNotFoundError,)):
            error = UnitError(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return error if error.attempt == unit.attempts() else None


def unit_status(unit: Unit) -> UnitStatus:
    """Return what a unit's folder says."""
    state, message, holder = _state(unit)
    total = unit.spec.total_steps
    # A finished unit's journal says nothing of its state; whoever publishes it finds out what is wrong with it.
    last = None if state == "done" else unit.journal.last()
    step = total if state == "done" else last.step if last else 0
    checkpoint = unit.checkpoints.newest_step()
    return UnitStatus(unit.spec.name, state, step, total, checkpoint, unit.attempts(), message, holder)


def _state(unit: Unit) -> tuple[str, str, Holder | None]:
    try:
        if unit.done():
            return "done", "", None
    except StoreError as error:
        return "damaged", str(error), None
    if holder := unit.holder():
        return "running", f"held by {holder}", holder
    if not unit.attempts():
        return "waiting", "", None
    ended = read_error(unit)
    if ended is None:
        return "dead", "its process ended without a word; `mtquant resume` continues it", None
    return ("stopped" if ended.exit_code in _STOPPED else "failed"), ended.message, None


def run_status(root: Path, record: RunRecord) -> RunStatus:
    """Return the state of every unit of a run and of the run itself."""
    # In this order: the engine has its lock before the beginning is let go, and units end before their engine.
    beginner = begin_holder(root, record.run_id)
    engine = run_holder(root, record.run_id)
    units = tuple(_status_of(root, record, name) for name in record.units)
    state = "preparing" if beginner and not engine else _run_state(units, engine)
    if state == "dead" and not any(unit.state == "dead" for unit in units) and _was_stopped(root, record.run_id):
        # No unit had begun, so none could say so.
        state = "stopped"
    return RunStatus(record.run_id, state, units, engine or beginner)


def _was_stopped(root: Path, run_id: str) -> bool:
    """Return whether the last thing that happened to the run is that it was asked to stop, or that it did."""
    for event in reversed(read_events(root, run_id)):
        name = event.get("event")
        if (
            name == STOP_ASKED
            or event.get("exit_code") in _STOPPED
            or "stopped" in dict(event.get("states") or {}).values()
        ):
            return True
        if name in ("created", "resumed", "run-started"):
            return False
    return False


def run_notes(root: Path, run_id: str) -> tuple[str, ...]:
    """Return what a person has to know beyond the states: units that lost all they had and started again."""
    events = [event for event in read_events(root, run_id) if event.get("event") == RESTARTED]
    return tuple(dict.fromkeys(f"{event.get('unit')}: {event.get('message')}" for event in events))


def _status_of(root: Path, record: RunRecord, name: str) -> UnitStatus:
    try:
        return unit_status(unit_of_run(root, record, name))
    except StoreError as error:
        return UnitStatus(name, "damaged", 0, 1, None, 0, str(error))


def _run_state(units: tuple[UnitStatus, ...], holder: Holder | None) -> str:
    states = {unit.state for unit in units}
    if holder:
        return "running" if units else "preparing"
    if not units:
        return "dead"
    if "running" in states:
        # The engine is gone, its children are still on their way to a checkpoint.
        return "running"
    if states == {"done"}:
        return "done"
    for state in ("damaged", "failed"):
        if state in states:
            return "failed"
    return "stopped" if "stopped" in states else "dead"
