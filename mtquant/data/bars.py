"""`read_bars`: one file of one instrument, whatever program wrote it, checked and never silently repaired."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtquant.data import parquet
from mtquant.data.checks import Draft, check, repair
from mtquant.data.dialects import Layout, detect
from mtquant.data.source import Table, listed, read_table
from mtquant.data.suspicions import suspect
from mtquant.data.timestamps import Column, parse_times
from mtquant.errors import DataError
from mtquant.types import Float, Int


@dataclass(frozen=True)
class Bars:
    """Checked bars of one instrument; arrays are read-only."""

    symbol: str
    time: Int
    """[T] open time, ns since 1970 UTC, increasing."""
    ohlcv: Float
    """[T, 5] open, high, low, close, volume; finite."""
    dialect: str
    """Layout that was recognised."""
    warnings: tuple[str, ...]
    """What is suspicious or was assumed."""
    digest: str
    """sha256 of the file as it lies on the disk."""
    source: str
    """Name of the file."""

    def __post_init__(self) -> None:
        self.time.flags.writeable = False
        self.ohlcv.flags.writeable = False


def read_bars(
    path: Path,
    symbol: str,
    *,
    time_zone: str = "UTC",
    day_first: bool | None = None,
    price_may_be_negative: bool = False,
    repairs: Sequence[str] = (),
) -> Bars:
    """Read the bars of `symbol`; dialect, compression and time format are recognised by content.

    `time_zone` is that of times that state none; `day_first` the order of day and month where the file leaves it
    undecidable; `repairs` (see `checks.repair`) are applied only when named, and told. Raises `DataError` with file,
    row, rule and advice for anything that would make the bars wrong.
    """
    if path.suffix == ".parquet":
        stored = parquet.read(path)
        draft, dialect, notes, digest = stored.draft, stored.dialect, stored.warnings, stored.digest
    else:
        table = read_table(path)
        layout = detect(table)
        draft, notes = _draft(table, layout, time_zone, day_first)
        dialect, digest = layout.dialect, table.digest
    draft, repaired = repair(draft, tuple(repairs))
    found = (*check(draft, price_may_be_negative), *suspect(draft, symbol))
    warnings = tuple(dict.fromkeys((*notes, *repaired, *found)))
    return Bars(symbol, draft.time, draft.ohlcv, dialect, warnings, digest, path.name)


def _draft(table: Table, layout: Layout, time_zone: str, day_first: bool | None) -> tuple[Draft, tuple[str, ...]]:
    rows, lines = table.rows[layout.first_row :], np.array(table.lines[layout.first_row :], dtype=np.int64)
    if not rows:
        raise DataError(f"{table.path} has a header and no bars. Export the bars again.")
    needed = max(*layout.time, *(c for price in layout.prices for c in price), layout.volume or 0) + 1
    short = [i for i, cells in enumerate(rows) if len(cells) < needed or len(cells) > layout.width + 1]
    if short:
        raise DataError(
            f"{table.path}, {listed(lines[short])}: {len(rows[short[0]])} columns, {layout.width} are expected. "
            "The file may be cut off; export it again."
        )
    columns = list(zip(*(cells[: layout.width] for cells in rows), strict=False))
    prices = [
        np.mean([_numbers(table, columns[c], lines) for c in price], axis=0)
        if len(price) > 1
        else _numbers(table, columns[price[0]], lines)
        for price in layout.prices
    ]
    volume = np.zeros(len(rows)) if layout.volume is None else _numbers(table, columns[layout.volume], lines)
    ohlcv = np.stack([*prices, volume], axis=1)
    values = [" ".join(parts).strip() for parts in zip(*(columns[c] for c in layout.time), strict=True)]
    column = Column(table.path, [v.strip() for v in values], lines)
    stamps = parse_times(column, ohlcv[:, 3], time_zone, day_first, layout.says_utc)
    tick = _tick([columns[c] for price in layout.prices for c in price])
    return Draft(table.path, lines, stamps.time, ohlcv, tick), (*layout.notes, *stamps.warnings)


def _numbers(table: Table, cells: Sequence[str], lines: Int) -> Float:
    """Return exact floats of decimal text; raises `DataError` naming rows that hold none."""
    try:
        values: Float = np.array([float(cell) for cell in cells])
    except ValueError:
        bad = [i for i, cell in enumerate(cells) if not _is_number(cell)]
        found = cells[bad[0]].strip()
        what = f"`{found[:30]}` is no number" if found else "an empty cell where a number belongs"
        hint = "Fill the gap at the source or remove the rows"
        if "," in found:
            hint = "Write numbers like 1234.5, with a point and without separators"
        raise DataError(f"{table.path}, {listed(lines[bad])}: {what}. {hint}.") from None
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _tick(columns: Sequence[Sequence[str]]) -> float:
    """Return the smallest step of prices as written, judged by the longest decimal part of the first rows."""
    parts = [cell.strip().partition(".")[2] for column in columns for cell in column[:200]]
    if any("e" in part.lower() for part in parts):
        return 0.0
    return float(10.0 ** -max(len(part.rstrip("0")) for part in parts))
