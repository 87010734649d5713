"""Timestamps of bar files: formats, order of day and month, time zones. Everything ends as ns since 1970 UTC."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from mtquant.data.day_month import refuse_swapped, settle_order
from mtquant.data.source import listed
from mtquant.errors import ConfigError, DataError
from mtquant.types import Bool, Float, Int

_CLOCK = (
    r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*([AaPp][Mm])?\s*(Z|UTC|GMT)?\s*([+-]\d{2}:?\d{2})?"
)
YEAR_FIRST = re.compile(r"(\d{4})([-./])(\d{1,2})[-./](\d{1,2})" + _CLOCK)
YEAR_LAST = re.compile(r"(\d{1,2})([-./])(\d{1,2})[-./](\d{4})" + _CLOCK)
COMPACT = re.compile(r"(\d{4})()(\d{2})(\d{2})(?:[ T]?(\d{2}):?(\d{2}):?(\d{2})?)?()()()()")
EPOCHS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
"""Digits of an epoch number of this century to nanoseconds per unit."""
NS = 1_000_000_000


@dataclass(frozen=True)
class Column:
    """The timestamps of one file as text, with the line of each."""

    path: Path
    values: list[str]
    lines: Int


@dataclass(frozen=True)
class Stamps:
    """Parsed timestamps."""

    time: Int
    """[T] ns since 1970, UTC."""
    warnings: tuple[str, ...]


def parse_times(column: Column, close: Float, time_zone: str, day_first: bool | None, says_utc: bool) -> Stamps:
    """Return UTC times; `close` [T] helps to see through swapped days and months.

    Raises `DataError` for a value that is no time, an undecidable or changing order of day and month, rows with and
    without a stated zone, and local times that the zone does not have or has twice.
    """
    fast = _plain_utc(column.values)
    if fast is not None:
        refuse_swapped(column.path, fast, close)
        return Stamps(fast, ())
    epoch = _epoch(column.values)
    if epoch is not None:
        return Stamps(epoch, ())
    year, a, b, rest, pattern = _fields(column)
    notes: tuple[str, ...] = ()
    of_day, offset, stated = _clock(rest, column)
    if pattern is YEAR_LAST:
        dotted = "." in column.values[0][:3]
        month, day, notes = settle_order(column.path, column.lines, (year, a, b), of_day, day_first, dotted)
    else:
        month, day = a, b
    local = _dates(year, month, day, column) + of_day
    refuse_swapped(column.path, local, close)
    if stated.any() and not stated.all():
        rows = listed(column.lines[~stated])
        raise DataError(f"{column.path}, {rows}: no time zone, while other rows state one. Export one form throughout.")
    if stated.all() or says_utc:
        return Stamps(local - offset, notes)
    note = f"timestamps state no time zone and are taken as {time_zone}"
    return Stamps(_localised(local, time_zone, column), (*notes, note))


def _plain_utc(values: Sequence[str]) -> Int | None:
    """Parse the common case `2020-01-02T03:04:05Z` at once."""
    if any(len(v) != 20 or v[-1] != "Z" or v[10] != "T" for v in values):
        return None
    try:
        parsed: Int = np.array([v[:-1] for v in values], dtype="datetime64[s]").astype(np.int64) * NS
    except ValueError:
        return None
    return parsed


def _epoch(values: Sequence[str]) -> Int | None:
    size = len(values[0])
    if size not in EPOCHS or any(len(v) != size or not v.isdigit() for v in values):
        return None
    return np.array(values, dtype=np.int64) * EPOCHS[size]


def _fields(column: Column) -> tuple[Int, Int, Int, list[tuple[str | None, ...]], re.Pattern[str]]:
    """Return year, the next two numbers, the rest of each match, and the pattern that all rows obey."""
    first = column.values[0]
    pattern = next((p for p in (YEAR_FIRST, YEAR_LAST, COMPACT) if p.fullmatch(first)), None)
    if pattern is None:
        raise DataError(
            f"{column.path}, row {column.lines[0]}: `{first[:40]}` is no time this reader knows. "
            "Write times as `2020-01-31T23:00:00Z`."
        )
    matches = [pattern.fullmatch(value) for value in column.values]
    bad = [i for i, match in enumerate(matches) if match is None]
    if bad:
        raise DataError(
            f"{column.path}, {listed(column.lines[bad])}: `{column.values[bad[0]][:40]}` is no time in the form of the "
            f"first row (`{first[:40]}`). Export one form throughout."
        )
    groups = [match.groups() for match in matches if match]
    one, two, three = (np.array([g[i] for g in groups], dtype=np.int64) for i in (0, 2, 3))
    rest = [g[4:] for g in groups]
    return (three, one, two, rest, pattern) if pattern is YEAR_LAST else (one, two, three, rest, pattern)


def _clock(rest: list[tuple[str | None, ...]], column: Column) -> tuple[Int, Int, Bool]:
    """Return nanoseconds of the day, the offset from UTC in nanoseconds, and whether a zone is stated."""
    seconds = np.empty(len(rest), dtype=np.int64)
    fraction, offset = np.zeros(len(rest), dtype=np.int64), np.zeros(len(rest), dtype=np.int64)
    stated = np.zeros(len(rest), dtype=bool)
    for i, (hour, minute, second, part, half, utc, shift) in enumerate(rest):
        h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
        if half:
            h = h % 12 + (12 if half[0] in "pP" else 0)
        if h > 23 or m > 59 or s > 59:
            raise DataError(f"{column.path}, row {column.lines[i]}: `{column.values[i]}` is no time of day. Correct.")
        seconds[i] = h * 3600 + m * 60 + s
        if part:
            fraction[i] = int(part.ljust(9, "0"))
        if utc or shift:
            stated[i] = True
        if shift:
            minutes = int(shift[1:3]) * 60 + int(shift[-2:])
            offset[i] = (minutes if shift[0] == "+" else -minutes) * 60 * NS
    return seconds * NS + fraction, offset, stated


def _dates(year: Int, month: Int, day: Int, column: Column) -> Int:
    """Return midnight of each date in ns; raises `DataError` for a day the calendar does not have."""
    months = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    bad = (month < 1) | (month > 12) | (day < 1) | (dates.astype("datetime64[M]") != months)
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(
            f"{column.path}, {listed(column.lines[bad])}: `{column.values[i]}` is no day of the calendar. Correct it."
        )
    out: Int = dates.astype("datetime64[ns]").astype(np.int64)
    return out


def _localised(local: Int, time_zone: str, column: Column) -> Int:
    if time_zone == "UTC":
        return local
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"`data.time_zone` is `{time_zone}`; write a name such as `America/New_York`.") from error
    index = pd.DatetimeIndex(local.astype("datetime64[ns]"))
    try:
        utc = index.tz_localize(zone, ambiguous="infer", nonexistent="raise")
    except ValueError as error:
        raise DataError(
            f"{column.path}: {error} in {time_zone}. The clock change makes local times undecidable: export in UTC, or "
            "check `data.time_zone`."
        ) from error
    out: Int = utc.as_unit("ns").asi8
    return out
