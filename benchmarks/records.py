"""What a benchmark hands back: a table for people and figures for programs."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.gates.runner import current_commit
from mtquant.store.files import make_folder, write_atomic

Cell = str | float | int


@dataclass(frozen=True)
class Figure:
    """One measured number; `values` are its repeats, of which the median counts."""

    bench: str
    values: tuple[float, ...]
    unit: str
    aim: float | None = None
    """Reached where the median is at least this; None where nothing is aimed at."""
    setting: dict[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """Median of the repeats."""
        return float(np.median(self.values))

    def entry(self, commit: str, machine: str) -> dict[str, Any]:
        """Return the entry of `bench.json`; a number that is not finite is null."""
        return {
            "bench": self.bench,
            "value": _number(self.value),
            "interval": [_number(min(self.values)), _number(max(self.values))],
            "unit": self.unit,
            "threshold": self.aim,
            "passed": None if self.aim is None else self.value >= self.aim,
            "setting": self.setting,
            "commit": commit,
            "machine": machine,
        }


@dataclass(frozen=True)
class Section:
    """One benchmark's outcome."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    figures: tuple[Figure, ...]
    note: str = ""

    def text(self) -> str:
        """Return title, aligned table and note."""
        shown = [self.head, *(tuple(_shown(cell) for cell in row) for row in self.rows)]
        widths = [max(len(row[column]) for row in shown) for column in range(len(self.head))]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in shown
        ]
        return "\n".join([f"## {self.title}", *lines, *([self.note] if self.note else [])])


def write_figures(sections: Sequence[Section], path: Path) -> None:
    """Write `bench.json` atomically: a list with one entry per figure."""
    commit, machine = current_commit(), machine_words()
    entries = [figure.entry(commit, machine) for section in sections for figure in section.figures]
    make_folder(path.parent)
    write_atomic(path, (json.dumps(entries, indent=1, allow_nan=False) + "\n").encode())


def machine_words() -> str:
    """Return processor, number of cores and Python version."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _shown(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if not math.isfinite(cell):
        return "-"
    if abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
