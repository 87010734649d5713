"""`Journal`: the append-only metrics of a unit, one JSON object per line."""

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.files import guarded

_TAIL_BYTES = 65_536
HEADLINES = ("reward_per_step", "utility_per_bar", "reward", "value")
"""Metrics that say how well an agent does, higher is better; the first present one is its headline."""


def headline(metrics: Mapping[str, float]) -> tuple[str, float] | None:
    """Return name and value of the headline metric, or None where it is missing or NaN."""
    found = next(((name, metrics[name]) for name in HEADLINES if name in metrics), None)
    return None if found is None or math.isnan(found[1]) else found


def to_json_number(value: float) -> float | str | None:
    """Return a number as standard JSON can hold it: NaN as None, infinities as text."""
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


def from_json_number(value: float | str | None) -> float:
    """Undo `to_json_number`."""
    return math.nan if value is None else float(value)


@dataclass(frozen=True)
class JournalLine:
    """Metrics of one step; `wall` is seconds since 1970, NaN metrics are undefined ones."""

    step: int
    wall: float
    metrics: dict[str, float]


class Journal:
    """Lines `{"step", "wall", "metrics"}` in the order they were measured.

    Lines are flushed, not synced one by one: `sync` before a checkpoint refers to `offset`. A last line that
    a crash tore is not there for readers, and a resumed attempt truncates to the offset of its checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def offset(self) -> int:
        """Size in bytes; 0 where nothing was written."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, step: int, metrics: Mapping[str, float], wall: float | None = None) -> None:
        """Add one line. Raises `StoreError` where the disk is full or not writable."""
        line = {
            "step": int(step),
            "wall": round(time.time(), 3) if wall is None else wall,
            "metrics": {name: to_json_number(value) for name, value in metrics.items()},
        }
        content = json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with guarded(self.path, "append to"), self.path.open("ab") as file:
            file.write(content)

    def sync(self) -> int:
        """Make all lines durable and return `offset`."""
        with guarded(self.path, "sync"), self.path.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()

    def digest(self, end: int) -> str:
        """Return the sha256 of the first `end` bytes."""
        hasher = hashlib.sha256()
        with guarded(self.path, "read"), self.path.open("rb") as file:
            while end > 0 and (content := file.read(min(end, 1 << 20))):
                hasher.update(content)
                end -= len(content)
        return hasher.hexdigest()

    def truncate_to(self, offset: int) -> None:
        """Forget what was appended after `offset`. Raises `StoreError` where the journal is shorter."""
        if self.offset < offset:
            raise StoreError(f"{self.path} has {self.offset} bytes, a checkpoint counted {offset}; lines were lost.")
        if self.offset > offset:
            with guarded(self.path, "truncate"), self.path.open("r+b") as file:
                file.truncate(offset)
                os.fsync(file.fileno())

    def read(self, start: int = 0) -> list[JournalLine]:
        """Return the whole lines from byte `start` on; see `read_from` for tailing."""
        return self.read_from(start)[0]

    def read_from(self, start: int) -> tuple[list[JournalLine], int]:
        """Return the whole lines from byte `start` on, and the offset to go on from; a torn last line waits."""
        try:
            with guarded(self.path, "read", passing=(FileNotFoundError,)), self.path.open("rb") as file:
                file.seek(start)
                content = file.read()
        except FileNotFoundError:
            return [], start
        end = content.rfind(b"\n") + 1
        return [self._parse(line) for line in content[:end].splitlines()], start + end

    def last(self) -> JournalLine | None:
        """Return the newest whole line without reading the whole file."""
        start = max(0, self.offset - _TAIL_BYTES)
        try:
            with guarded(self.path, "read", passing=(FileNotFoundError,)), self.path.open("rb") as file:
                file.seek(start)
                content = file.read()
        except FileNotFoundError:
            return None
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        return self._parse(lines[-1]) if lines and (start == 0 or len(lines) > 1) else None

    def _parse(self, line: bytes) -> JournalLine:
        try:
            found: dict[str, Any] = json.loads(line)
            metrics = {name: from_json_number(value) for name, value in found["metrics"].items()}
            return JournalLine(int(found["step"]), float(found["wall"]), metrics)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.path} holds a line that is no metric: {line[:80]!r}. Remove the file's damaged part, "
                "or delete the unit's folder to train it again."
            ) from error
