"""Checked bars as parquet: columns `timestamp` (UTC, ns) and five float64; provenance in the schema's metadata."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtquant.data.checks import Draft
from mtquant.errors import DataError
from mtquant.types import Float, Int

COLUMNS = ("open", "high", "low", "close", "volume")
KEY = b"mtquant"


@dataclass(frozen=True)
class Stored:
    """What a parquet file holds."""

    draft: Draft
    dialect: str
    warnings: tuple[str, ...]
    digest: str


def write(path: Path, time: Int, ohlcv: Float, about: dict[str, Any]) -> None:
    """Write bars and `about` (dialect, warnings, digest of the original); floats keep every bit."""
    arrays = [pa.array(time.view("datetime64[ns]"), type=pa.timestamp("ns", tz="UTC"))]
    arrays += [pa.array(np.ascontiguousarray(ohlcv[:, i])) for i in range(len(COLUMNS))]
    table = pa.table(dict(zip(("timestamp", *COLUMNS), arrays, strict=True)))
    text = json.dumps(about, sort_keys=True)
    pq.write_table(table.replace_schema_metadata({KEY: text.encode()}), path, compression="zstd")


def read(path: Path) -> Stored:
    """Read bars written by `write` or by another program with the same column names (rows count from 1).

    Raises `DataError` for a broken file, missing columns or values, or times of another type.
    """
    try:
        content = path.read_bytes()
        table = pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is no readable parquet file ({error}). Import the bars again.") from error
    names = {name.lower(): name for name in table.column_names}
    missing = [name for name in ("timestamp", *COLUMNS[:4]) if name not in names]
    if missing:
        raise DataError(f"{path} has no columns {missing}; it has {table.column_names}. Rename them.")
    if not table.num_rows:
        raise DataError(f"{path} holds no bars. Import the bars again.")
    stamp = table.column(names["timestamp"])
    if not pa.types.is_timestamp(stamp.type) or stamp.null_count:
        raise DataError(f"{path}: `timestamp` is {stamp.type} with {stamp.null_count} gaps; UTC times are expected.")
    notes: tuple[str, ...] = () if stamp.type.tz else ("timestamps state no time zone and are taken as UTC",)
    notes += () if "volume" in names else ("no volume column: volume is 0",)
    time = stamp.cast(pa.timestamp("ns")).to_numpy().astype(np.int64)
    values = [_column(table, names.get(name), path) for name in COLUMNS]
    about = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
    rows = np.arange(1, len(time) + 1)
    draft = Draft(path, rows, time, np.stack(values, axis=1), 0.0)
    warnings = (*about.get("warnings", ()), *notes)
    return Stored(draft, about.get("dialect", "parquet"), warnings, hashlib.sha256(content).hexdigest())


def _column(table: pa.Table, name: str | None, path: Path) -> Float:
    if name is None:
        return np.zeros(table.num_rows)
    try:
        values: Float = table.column(name).cast(pa.float64()).to_numpy().astype(np.float64)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: column `{name}` holds no numbers ({error}). Import the bars again.") from error
    return values
