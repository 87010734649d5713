"""Rules that bars must obey: a broken one stops with the file, the rows and what to do; nothing is repaired."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtquant.data.market import CLOSE, HIGH, LOW, OPEN, VOLUME
from mtquant.data.source import listed
from mtquant.errors import DataError
from mtquant.types import Bool, Float, Int

FLOAT_NOISE = 1e-6
"""Relative error of prices that passed through 32-bit floats."""
REPAIRS = ("sort", "drop-duplicates", "widen-range")


@dataclass(frozen=True)
class Draft:
    """Bars of one file before they are believed."""

    path: Path
    lines: Int
    """[T] line of each bar in the file."""
    time: Int
    ohlcv: Float
    tick: float
    """Smallest step of the written prices; 0 where unknown."""

    def keep(self, index: Int) -> "Draft":
        """Return the bars at `index`."""
        return replace(self, lines=self.lines[index], time=self.time[index], ohlcv=self.ohlcv[index])


def check(draft: Draft, price_may_be_negative: bool) -> tuple[str, ...]:
    """Return warnings; raise `DataError` for bars that cannot be right."""
    _finite(draft)
    _order(draft)
    _positive(draft, price_may_be_negative)
    return _ranges(draft)


def repair(draft: Draft, wanted: tuple[str, ...]) -> tuple[Draft, tuple[str, ...]]:
    """Apply repairs that were asked for by name, and say what each changed.

    `sort`: order by time. `drop-duplicates`: drop bars that repeat another in every number. `widen-range`: extend
    high and low to include open and close. Raises `DataError` for an unknown name.
    """
    unknown = [name for name in wanted if name not in REPAIRS]
    if unknown:
        raise DataError(f"Unknown repairs {unknown}; known: {list(REPAIRS)}.")
    notes = []
    for name in REPAIRS:
        if name in wanted:
            draft, changed = _REPAIR[name](draft)
            if changed:
                notes.append(f"repair `{name}` changed {changed} bars")
    return draft, tuple(notes)


def _finite(draft: Draft) -> None:
    bad = ~np.isfinite(draft.ohlcv).all(axis=1)
    _stop(draft, bad, "a price or volume is missing or not a number", "Fill the gap at the source or remove the rows")


def _order(draft: Draft) -> None:
    steps = np.diff(draft.time)
    if len(steps) and (steps <= 0).all() and (steps < 0).any():
        raise DataError(
            f"{draft.path} runs from the newest bar to the oldest. Sort it by time (`mtquant import` offers the repair "
            "`sort`)."
        )
    repeated = np.zeros(len(draft.time), dtype=bool)
    order = np.argsort(draft.time, kind="stable")
    repeated[order[1:]] = draft.time[order][1:] == draft.time[order][:-1]
    if repeated.any():
        differing = _differing(draft, order)
        hint = (
            "They repeat the same numbers: `mtquant import` offers the repair `drop-duplicates`"
            if not differing
            else f"{differing} of them contradict the bar of the same time: keep the right ones"
        )
        _stop(draft, repeated, "the time of another bar again", hint)
    backwards = np.concatenate([[False], steps < 0])
    _stop(draft, backwards, "time runs backwards", "Sort the file by time (`mtquant import` offers the repair `sort`)")


def _differing(draft: Draft, order: Int) -> int:
    time, bars = draft.time[order], draft.ohlcv[order]
    same_time = time[1:] == time[:-1]
    return int((same_time & (bars[1:] != bars[:-1]).any(axis=1)).sum())


def _positive(draft: Draft, price_may_be_negative: bool) -> None:
    _stop(draft, draft.ohlcv[:, VOLUME] < 0, "the volume is negative", "Correct the rows or export again")
    if price_may_be_negative:
        return
    bad = (draft.ohlcv[:, :4] <= 0).any(axis=1)
    advice = (
        "Correct the rows, or set `price_may_be_negative: true` for this instrument in config/instruments.yaml if such "
        "prices are real (WTI, April 2020)"
    )
    _stop(draft, bad, "a price is zero or negative", advice)


def _ranges(draft: Draft) -> tuple[str, ...]:
    high, low = draft.ohlcv[:, HIGH], draft.ohlcv[:, LOW]
    _stop(draft, high < low, "the high is below the low", "Check the order of the columns, or correct the rows")
    excess = _excess(draft)
    size = np.abs(draft.ohlcv[:, :4]).max(axis=1)
    tolerance = np.maximum(FLOAT_NOISE * size, 1.001 * draft.tick)
    _stop(
        draft,
        excess > tolerance,
        "open or close lies outside low and high",
        "Correct the rows, or import with the repair `widen-range`, which extends high and low to include them",
    )
    rounded = int((excess > 0).sum())
    return (f"open or close lies outside low and high by rounding in {rounded} bars",) if rounded else ()


def _excess(draft: Draft) -> Float:
    """Return `[T]` how far open or close lies outside the range, in points; 0 inside."""
    bars = draft.ohlcv
    top = np.maximum(bars[:, OPEN], bars[:, CLOSE]) - bars[:, HIGH]
    bottom = bars[:, LOW] - np.minimum(bars[:, OPEN], bars[:, CLOSE])
    out: Float = np.maximum(np.maximum(top, bottom), 0.0)
    return out


def _stop(draft: Draft, bad: Bool | np.bool_, rule: str, advice: str) -> None:
    if bad.any():
        raise DataError(f"{draft.path}, {listed(draft.lines[bad])}: {rule}. {advice}.")


def _sort(draft: Draft) -> tuple[Draft, int]:
    order = np.argsort(draft.time, kind="stable")
    return draft.keep(order), int((order != np.arange(len(order))).sum())


def _drop_duplicates(draft: Draft) -> tuple[Draft, int]:
    whole = np.concatenate([draft.time[:, None].astype(np.float64), draft.ohlcv], axis=1)
    _, index = np.unique(whole, axis=0, return_index=True)
    return draft.keep(np.sort(index)), len(draft.time) - len(index)


def _widen_range(draft: Draft) -> tuple[Draft, int]:
    bars = draft.ohlcv.copy()
    bars[:, HIGH] = np.maximum(bars[:, HIGH], np.maximum(bars[:, OPEN], bars[:, CLOSE]))
    bars[:, LOW] = np.minimum(bars[:, LOW], np.minimum(bars[:, OPEN], bars[:, CLOSE]))
    return replace(draft, ohlcv=bars), int((_excess(draft) > 0).sum())


_REPAIR: dict[str, Callable[[Draft], tuple[Draft, int]]] = {
    "sort": _sort,
    "drop-duplicates": _drop_duplicates,
    "widen-range": _widen_range,
}
