"""Journals as learning curves: which lines may be published, and as which points."""

import json
import math
import re
from dataclasses import dataclass

from mtquant.store.checkpoints import MANIFEST
from mtquant.store.journal import JournalLine, headline
from mtquant.store.units import Done, Unit

_REFUSED = re.compile(r"[^\w\-./ :]")


@dataclass(frozen=True)
class Point:
    """One value of one curve; `timestamp` is the recorded one, in milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int


def settled_lines(unit: Unit, finished: bool) -> list[JournalLine]:
    """Return the lines that no later attempt can take back.

    All of them once the unit is `finished`, else those that a checkpoint covers: a resumed attempt
    forgets the rest and measures it again, with other times, and MLflow cannot delete a point.
    """
    if finished:
        return unit.journal.read()
    covered = _covered_bytes(unit)
    if not covered:
        return []
    with unit.journal.path.open("rb") as file:
        count = file.read(covered).count(b"\n")
    return unit.journal.read()[:count]


def _covered_bytes(unit: Unit) -> int:
    """Return the journal's size as the newest checkpoint counted it; 0 where there is none."""
    step = unit.checkpoints.newest_step()
    if step is None:
        return 0
    try:
        manifest = json.loads((unit.checkpoints.root / f"{step:012d}" / MANIFEST).read_bytes())
        return int(manifest["journal_offset"])
    except (OSError, ValueError, KeyError, TypeError):
        # Retired or damaged in this moment; the next pass sees another one.
        return 0


def points(lines: list[JournalLine]) -> list[Point]:
    """Return the finite values as points; undefined ones (NaN, infinite) leave a gap in the curve.

    MLflow would store an infinity as 1.8e308, which nobody measured.
    """
    return [
        Point(metric_key(name), value, round(line.wall * 1000), line.step)
        for line in lines
        for name, value in line.metrics.items()
        if math.isfinite(value)
    ]


def best_point(lines: list[JournalLine]) -> Point | None:
    """Return the highest value of the headline curve as `best/<metric>` at its step; None where there is none."""
    measured = [(line, *found) for line in lines if (found := headline(line.metrics)) and math.isfinite(found[1])]
    if not measured:
        return None
    line, name, value = max(measured, key=lambda entry: entry[2])
    return Point(metric_key(f"best/{name}"), value, round(line.wall * 1000), line.step)


def final_points(done: Done, moment: int, step: int) -> list[Point]:
    """Return the finite results of a unit as `final/<metric>`."""
    return [
        Point(metric_key(f"final/{name}"), value, moment, step)
        for name, value in done.metrics.items()
        if math.isfinite(value)
    ]


def metric_key(name: str) -> str:
    """Return a name that MLflow accepts for a metric."""
    return _REFUSED.sub("_", name)[:250]
