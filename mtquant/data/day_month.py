"""Order of day and month: decided by proof, asked for where there is none, refused where it changes or is swapped."""

from pathlib import Path

import numpy as np

from mtquant.data.source import listed
from mtquant.errors import DataError
from mtquant.types import Float, Int

DAY = 86_400_000_000_000
SATURDAY = 5
LONG_GAP = 5 * DAY
LEAST_BARS = 50


def settle_order(
    path: Path, lines: Int, fields: tuple[Int, Int, Int], of_day: Int, day_first: bool | None, dotted: bool
) -> tuple[Int, Int, tuple[str, ...]]:
    """Return month, day and warnings from `fields` year, first and second number, and the time of day.

    A number above 12 is a proof; so is one order running forwards while the other does not. Dates with dots are
    written day first everywhere. Raises `DataError` where nothing decides, or where the order changes.
    """
    _, first, second = fields
    day_proofs, month_proofs = first > 12, second > 12
    if day_proofs.any() and month_proofs.any():
        raise DataError(
            f"{path}: {listed(lines[day_proofs])} can only be day first, {listed(lines[month_proofs])} only month "
            "first. The order of day and month changes inside the file; export it again in one order."
        )
    proven = True if day_proofs.any() else False if month_proofs.any() else None
    if proven is not None and day_first is not None and proven != day_first:
        rows = listed(lines[day_proofs if proven else month_proofs])
        raise DataError(f"{path}, {rows}: the date can only be {_name(proven)}, but {_name(day_first)} was asked for.")
    notes: tuple[str, ...] = ()
    order = proven if proven is not None else day_first
    if order is None and dotted:
        order = True
    if order is None:
        order = _by_time(fields, of_day)
        if order is None:
            raise DataError(
                f"{path}, row {lines[0]}: nothing in the file decides whether dates are day first or month first. "
                "Say so with `--day-first` or `--month-first` (configuration: `data.day_first`)."
            )
        notes = (f"dates are taken as {_name(order)}: the other order would run backwards",)
    if proven is not None and _runs(fields, of_day, proven) is False and _mended(fields, of_day, proven):
        raise DataError(
            f"{path}: dates are proven {_name(proven)}, but run backwards unless day and month are exchanged in the "
            "rows where both are at most 12. The order changes inside the file (a spreadsheet does this); export it "
            "again."
        )
    return (second, first, notes) if order else (first, second, notes)


def refuse_swapped(path: Path, time: Int, close: Float) -> None:
    """Raise `DataError` where exchanging day and month (both at most 12) makes a regular calendar of an irregular one.

    In a sorted file evidence must agree: the path of closes gets shorter by a tenth or more, and long holes or
    Saturdays vanish. In an unsorted one the exchange must put every bar in order.
    """
    if len(time) < LEAST_BARS:
        return
    swapped = _exchanged(time)
    if np.any(np.diff(time) <= 0):
        if np.all(np.diff(swapped) > 0):
            raise DataError(
                f"{path}: time runs backwards as written and forwards once day and month are exchanged where both are "
                "at most 12. Export the file again with one date order."
            )
        return
    order = np.argsort(swapped, kind="stable")
    straight = swapped[order]
    if np.abs(np.diff(close[order])).sum() > 0.9 * np.abs(np.diff(close)).sum():
        return
    holes, holes_after = _holes(time), _holes(straight)
    saturdays, saturdays_after = _saturdays(time), _saturdays(straight)
    fewer_holes = holes >= 3 and holes_after <= holes / 4
    fewer_saturdays = saturdays > 0.02 and saturdays_after <= saturdays / 4
    if (fewer_holes or fewer_saturdays) and holes_after <= holes:
        raise DataError(
            f"{path}: day and month are exchanged in the dates where both are at most 12. As written there are {holes} "
            f"holes of more than five days and {saturdays:.1%} of the bars lie on Saturdays; exchanged, "
            f"{holes_after} and {saturdays_after:.1%}, and prices connect. Export the file again with one date order."
        )


def _name(day_first: bool) -> str:
    return "day first" if day_first else "month first"


def _key(fields: tuple[Int, Int, Int], of_day: Int, day_first: bool) -> Int:
    year, first, second = fields
    month, day = (second, first) if day_first else (first, second)
    return ((year * 12 + month) * 31 + day) * DAY + of_day


def _runs(fields: tuple[Int, Int, Int], of_day: Int, day_first: bool) -> bool:
    """Return whether time runs forwards, or backwards throughout, in this order."""
    steps = np.diff(_key(fields, of_day, day_first))
    return bool((steps >= 0).all() or (steps <= 0).all())


def _by_time(fields: tuple[Int, Int, Int], of_day: Int) -> bool | None:
    by_day, by_month = _runs(fields, of_day, True), _runs(fields, of_day, False)
    return None if by_day == by_month else by_day


def _mended(fields: tuple[Int, Int, Int], of_day: Int, day_first: bool) -> bool:
    """Return whether exchanging the numbers where both are at most 12 makes time run forwards."""
    year, first, second = fields
    both = (first <= 12) & (second <= 12)
    exchanged = (year, np.where(both, second, first), np.where(both, first, second))
    return _runs(exchanged, of_day, day_first)


def _exchanged(time: Int) -> Int:
    """Return times with day and month exchanged where both are at most 12."""
    days = (time // DAY).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    month = months.astype(np.int64) % 12 + 1
    year = months.astype(np.int64) // 12
    other = (year * 12 + day - 1).astype("datetime64[M]").astype("datetime64[D]") + (month - 1)
    out: Int = np.where(day <= 12, other.astype(np.int64), days.astype(np.int64)) * DAY + time % DAY
    return out


def _holes(time: Int) -> int:
    steps = np.diff(time)
    return int((steps > max(LONG_GAP, 5 * float(np.median(steps)))).sum())


def _saturdays(time: Int) -> float:
    weekday = (time // DAY + 3) % 7
    return float((weekday == SATURDAY).mean())
