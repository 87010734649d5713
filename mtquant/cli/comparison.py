"""What differs between two runs: settings, units and the reason, results."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mtquant.config.explain import differences
from mtquant.errors import MTQuantError
from mtquant.execution.attempt import read_settings
from mtquant.store.explanation import explain
from mtquant.store.runs import RunRecord, unit_of_run
from mtquant.store.units import Unit

CHANGES_SHOWN = 3
INTERVAL = ("_low", "_high")
"""Ends of names of an interval's bounds, which only `--json` has: they would triple the table."""


@dataclass(frozen=True)
class SettingChange:
    """One setting with its value in either run; None where one has no such key."""

    key: str
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class UnitComparison:
    """One unit by name."""

    name: str
    relation: str
    """`shared` (same key, same folder), `different`, `only A`, `only B`, or `unknown` (not readable)."""
    changes: tuple[str, ...] = ()
    """What made the key differ, from A to B."""


@dataclass(frozen=True)
class MetricComparison:
    """One final metric of units that both runs have but do not share."""

    unit: str
    name: str
    ours: float | None
    theirs: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    ours: str
    theirs: str
    settings: tuple[SettingChange, ...]
    units: tuple[UnitComparison, ...]
    metrics: tuple[MetricComparison, ...]

    def values(self) -> dict[str, Any]:
        """Return the comparison as JSON values; undefined metrics are null."""
        found = asdict(self)
        for entry in found["metrics"]:
            for side in ("ours", "theirs"):
                if entry[side] is not None and not math.isfinite(entry[side]):
                    entry[side] = None
        return found


def compare(root: Path, ours: RunRecord, theirs: RunRecord) -> Comparison:
    """Return what differs. Raises `ConfigError` where the settings of a run do not fit this version."""
    changed = differences(read_settings(ours), read_settings(theirs))
    names = list(dict.fromkeys([*ours.units, *theirs.units]))
    units = tuple(_unit(root, ours, theirs, name) for name in names)
    apart = [unit.name for unit in units if unit.relation == "different"]
    metrics = tuple(entry for name in apart for entry in _metrics(root, ours, theirs, name))
    settings = tuple(SettingChange(*entry) for entry in changed)
    return Comparison(ours.run_id, theirs.run_id, settings, units, metrics)


def _unit(root: Path, ours: RunRecord, theirs: RunRecord, name: str) -> UnitComparison:
    if name not in ours.units or name not in theirs.units:
        return UnitComparison(name, "only A" if name in ours.units else "only B")
    if ours.units[name]["key"] == theirs.units[name]["key"]:
        return UnitComparison(name, "shared")
    try:
        before, after = (unit_of_run(root, record, name).spec.inputs for record in (ours, theirs))
    except MTQuantError as error:
        return UnitComparison(name, "unknown", (str(error),))
    return UnitComparison(name, "different", explain(before, after))


def _metrics(root: Path, ours: RunRecord, theirs: RunRecord, name: str) -> list[MetricComparison]:
    a, b = (_final(unit_of_run(root, record, name)) for record in (ours, theirs))
    return [MetricComparison(name, metric, a.get(metric), b.get(metric)) for metric in {**a, **b}]


def _final(unit: Unit) -> dict[str, float]:
    try:
        done = unit.done()
    except MTQuantError:
        # Damaged: there is no result to compare.
        return {}
    return done.metrics if done else {}


def say_comparison(out: Console, found: Comparison) -> None:
    """Print the comparison for people."""

    def say(text: str) -> None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"A: {found.ours}\nB: {found.theirs}\n\nsettings (A -> B)")
    for change in found.settings:
        say(f"  {change.key}: {json.dumps(change.ours)} -> {json.dumps(change.theirs)}")
    if not found.settings:
        say("  no difference")
    say("\nunits")
    if not found.units:
        say("  neither run has any yet")
    width = max((len(unit.name) for unit in found.units), default=0)
    for unit in found.units:
        more = len(unit.changes) - CHANGES_SHOWN
        because = "; ".join(unit.changes[:CHANGES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        say(f"  {unit.name:<{width}}  {unit.relation:<9}  {because}".rstrip())
    if found.metrics:
        out.print()
        out.print(_metrics_table(found))


def _metrics_table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("final metric", no_wrap=True)
    for name in ("A", "B", "B - A"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in found.metrics:
        if entry.name.endswith(INTERVAL):
            continue
        difference = "-" if entry.ours is None or entry.theirs is None else f"{entry.theirs - entry.ours:+.4g}"
        table.add_row(f"{entry.unit} {entry.name}", _number(entry.ours), _number(entry.theirs), difference)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
