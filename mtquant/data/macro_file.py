"""`macro.csv`: columns such as vix, dxy and rates beside the bars, never known before their period has ended."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtquant.data import timeframes
from mtquant.data.align import day, with_macro
from mtquant.data.dialects import TIME
from mtquant.data.market import Market
from mtquant.data.source import listed, read_table
from mtquant.data.timestamps import Column, parse_times
from mtquant.errors import DataError
from mtquant.types import Float, Int

STALE_PERIODS = 10


@dataclass(frozen=True)
class MacroTable:
    """Macro columns as written."""

    path: Path
    time: Int
    """[n] beginning of the period a row describes, ns UTC, increasing."""
    values: Float
    """[n, M]"""
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def read_macro(path: Path, time_zone: str = "UTC", day_first: bool | None = None) -> MacroTable:
    """Read a table with a time column and at least one column of numbers.

    Raises `DataError` for gaps, values that are no numbers, and times that repeat or run backwards.
    """
    table = read_table(path)
    names = [cell.strip().lower() for cell in table.rows[0]]
    at = next((names.index(name) for name in TIME if name in names), None)
    if at is None or len(names) < 2 or len(set(names)) != len(names) or "" in names:
        raise DataError(f"{path}, row {table.lines[0]}: columns {names}; `timestamp` and named columns are expected.")
    rows, lines = table.rows[1:], np.array(table.lines[1:], dtype=np.int64)
    bad = [i for i, cells in enumerate(rows) if len(cells) != len(names)]
    if bad or not rows:
        where = listed(lines[bad]) if bad else "no rows"
        raise DataError(f"{path}, {where}: {len(names)} columns are expected in every row. Export the file again.")
    kept = [j for j in range(len(names)) if j != at]
    try:
        values = np.array([[float(cells[j]) for j in kept] for cells in rows])
    except ValueError as error:
        raise DataError(f"{path}: {error}. Every cell must be a number; fill gaps at the source.") from None
    gaps = ~np.isfinite(values).all(axis=1)
    if gaps.any():
        raise DataError(f"{path}, {listed(lines[gaps])}: a value is not finite. Fill gaps at the source.")
    column = Column(path, [cells[at].strip() for cells in rows], lines)
    stamps = parse_times(column, values[:, 0], time_zone, day_first, says_utc=False)
    steps = np.concatenate([[1], np.diff(stamps.time)])
    if (steps <= 0).any():
        raise DataError(f"{path}, {listed(lines[steps <= 0])}: times repeat or run backwards. Sort the file by time.")
    shown = tuple(table.rows[0][j].strip() for j in kept)
    return MacroTable(path, stamps.time, values, shown, stamps.warnings)


def attach(market: Market, table: MacroTable) -> tuple[Market, tuple[str, ...]]:
    """Return the market (one history) with the columns as of the close of each bar, and warnings.

    A row stands for the period that begins at its time, as a bar does, and counts as known when the period (the
    median spacing of the table) has ended. Raises `DataError` where a bar closes before any row is known.
    """
    bar = timeframes.length(market.timeframe)
    period = int(np.median(np.diff(table.time))) if len(table.time) > 1 else bar
    known, closes = table.time + period, market.time + bar
    index = np.searchsorted(known, closes, side="right") - 1
    if index[0] < 0:
        raise DataError(
            f"{table.path}: the first row ({day(table.time[0])}) is known from {day(known[0])}, the bars begin on "
            f"{day(market.time[0])}. Bring macro rows from one period before the first bar."
        )
    notes = [f"{table.path.name}: {warning}" for warning in table.warnings]
    oldest = int((closes - known[index]).max())
    if oldest > STALE_PERIODS * max(period, bar):
        notes.append(f"{table.path.name}: a value is carried for up to {oldest / 86_400_000_000_000:.0f} days")
    return with_macro(market, table.values[index], table.names), tuple(notes)
