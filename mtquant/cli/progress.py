"""What a run is doing right now, read from the store: steps, speed, time to go, last reward."""

import json
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from mtquant.errors import StoreError
from mtquant.store.journal import JournalLine, headline
from mtquant.store.runs import EVENTS, RECORD, RunRecord, run_folder, unit_of_run
from mtquant.store.status import RunStatus, UnitStatus, run_status
from mtquant.store.units import UNITS

WINDOW_LINES = 8


@dataclass(frozen=True)
class UnitProgress:
    """One unit as the live view shows it."""

    status: UnitStatus
    rate: float | None
    """Steps per second over the last lines of this attempt; None until two are there."""
    reward: float | None
    checkpoint_age: float | None
    """Seconds since the newest checkpoint."""

    @property
    def eta(self) -> float | None:
        """Seconds to go at the present speed."""
        left = self.status.total_steps - self.status.step
        return left / self.rate if self.rate and left >= 0 and self.status.state == "running" else None


class Progress:
    """Looks at the store; every `look` reads only what the journals have gained."""

    def __init__(self, root: Path, record: RunRecord) -> None:
        self.root, self.record = root, record
        self._tails: dict[str, _Tail] = {}

    def look(self) -> tuple[RunStatus, list[UnitProgress]]:
        """Return the run's state and every unit's progress, in order."""
        status = run_status(self.root, self.record)
        return status, [self._of(unit) for unit in status.units]

    def _of(self, status: UnitStatus) -> UnitProgress:
        if status.state not in ("running", "done"):
            return UnitProgress(status, None, None, None)
        tail = self._tails.setdefault(status.name, _Tail())
        try:
            unit = unit_of_run(self.root, self.record, status.name)
            tail.follow(unit.folder, status.attempts)
        except StoreError:
            return UnitProgress(status, None, None, None)
        return UnitProgress(status, tail.rate(), tail.reward(), _age(unit.checkpoints.root, status.checkpoint))


class _Tail:
    """The last journal lines of one unit's present attempt."""

    def __init__(self) -> None:
        self._offset = 0
        self._attempt, self._since = 0, 0.0
        self._lines: deque[JournalLine] = deque(maxlen=WINDOW_LINES)

    def follow(self, folder: Path, attempt: int) -> None:
        from mtquant.store.journal import Journal

        journal = Journal(folder / "metrics.jsonl")
        if attempt != self._attempt or journal.offset < self._offset:
            self._lines.clear()
            self._offset, self._attempt, self._since = 0, attempt, _started(folder, attempt)
        lines, self._offset = journal.read_from(self._offset)
        self._lines.extend(lines)

    def rate(self) -> float | None:
        # Lines of an earlier attempt would count the time between the two.
        now = [line for line in self._lines if line.wall >= self._since]
        if len(now) < 2 or now[-1].wall <= now[0].wall:
            return None
        return (now[-1].step - now[0].step) / (now[-1].wall - now[0].wall)

    def reward(self) -> float | None:
        for line in reversed(self._lines):
            if found := headline(line.metrics):
                return found[1]
        return None


def _started(folder: Path, attempt: int) -> float:
    from mtquant.tracking.describe import milliseconds

    try:
        text = json.loads((folder / "attempts" / f"{attempt:04d}.json").read_bytes())["started"]
    except (OSError, ValueError, KeyError):
        return 0.0
    return milliseconds(text) / 1000


def _age(checkpoints: Path, step: int | None) -> float | None:
    if step is None:
        return None
    try:
        return max(0.0, time.time() - (checkpoints / f"{step:012d}").stat().st_mtime)
    except OSError:
        return None


def last_sign(root: Path, record: RunRecord) -> float:
    """Return when anything of the run was written last, seconds since 1970."""
    folder = run_folder(root, record.run_id)
    paths = [folder / RECORD, folder / EVENTS]
    for entry in record.units.values():
        unit = root / UNITS / entry["folder"]
        paths += [unit / "metrics.jsonl", unit / "unit.log", unit / "checkpoints"]
    return max(path.stat().st_mtime for path in paths if path.exists())


def age(seconds: float) -> str:
    """Return a duration in its largest unit: `12 s`, `4 min`, `3 h`, `2 days`."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def clock(seconds: float | None) -> str:
    """Return a duration as `0:46` or `1:02:03`; `-` where it is unknown."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def compact(value: float | None) -> str:
    """Return a number in at most six characters: `6.2k`, `0.0123`; `-` where it is unknown."""
    if value is None:
        return "-"
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.1f}{letter}"
    return f"{value:.3g}"
