"""Content that obeys the rules and is wrong all the same: day-wide bars, scaled prices, bad ticks."""

from dataclasses import dataclass

import numpy as np

from mtquant.data.checks import Draft
from mtquant.data.market import CLOSE, HIGH, LOW, OPEN
from mtquant.data.source import listed
from mtquant.errors import DataError
from mtquant.types import Bool, Float, Int

DAY = 86_400_000_000_000
LEAST_DAYS = 20
LEAST_BARS_A_DAY = 7
COVERED = 0.9
"""A bar is day-wide when it spans this share of the range of all other bars of its day."""
SUSPECT_SHARE = 0.05
"""Share of the days on which a time of day must be day-wide to be an error; real intraday bars stay below 1 %."""
SPIKE = 10.0
"""Smallest move of a bad close, in median absolute moves of its surroundings."""
WICK = 15.0
"""Smallest distance of a bad high or low, in median ranges of its surroundings."""
REVERTED = 0.3
"""Largest share of a spike that may remain after the next bar."""
NEIGHBOURS = 50

USUAL_PRICES = {
    "EURUSD": (0.5, 2.5), "GBPUSD": (0.8, 3.0), "USDJPY": (50.0, 400.0), "AUDUSD": (0.3, 1.5), "USDCHF": (0.5, 3.0),
    "USDCAD": (0.7, 2.0), "NZDUSD": (0.3, 1.2), "XAUUSD": (200.0, 9000.0), "XAGUSD": (2.0, 150.0),
    "WTIUSD": (5.0, 250.0), "BRENT": (5.0, 250.0), "SPX500": (300.0, 15000.0), "NAS100": (600.0, 60000.0),
    "US30": (3000.0, 120000.0), "NQ": (600.0, 60000.0), "ES": (300.0, 15000.0),
}  # fmt: skip
"""Prices that were or may soon be seen, wide on purpose: only a misplaced decimal point falls outside."""


@dataclass(frozen=True)
class DayWide:
    """Bars of one time of day whose range covers their whole day."""

    time_of_day: int
    bars: Bool
    days: int


def suspect(draft: Draft, symbol: str) -> tuple[str, ...]:
    """Return warnings; raises `DataError` where bars know the range of the day before it has happened."""
    found = day_wide(draft.time, draft.ohlcv)
    if found is not None:
        hour, minute = divmod(found.time_of_day // 60_000_000_000, 60)
        raise DataError(
            f"{draft.path}, {listed(draft.lines[found.bars])}: the {hour:02d}:{minute:02d} bars carry the high and low "
            f"of the whole day ({int(found.bars.sum())} of {found.days} days), so they know the future. These are "
            "daily bars inside an intraday file: remove all rows of that time, or export the intraday bars again."
        )
    return (*_scaled(draft, symbol), *_bad_ticks(draft))


def day_wide(time: Int, ohlcv: Float) -> DayWide | None:
    """Return the time of day, if any, whose bars repeatedly cover the range of all other bars of their day."""
    if len(time) < 2 or np.median(np.diff(time)) * LEAST_BARS_A_DAY > DAY:
        return None
    covering, counted = _covering(time, ohlcv)
    of_day = time % DAY
    worst: DayWide | None = None
    for clock in np.unique(of_day[covering]):
        here = of_day == clock
        days, bars = int((here & counted).sum()), here & covering
        enough = bars.sum() >= LEAST_DAYS and bars.sum() >= SUSPECT_SHARE * days
        if enough and (worst is None or bars.sum() > worst.bars.sum()):
            worst = DayWide(int(clock), bars, days)
    return worst


def _covering(time: Int, ohlcv: Float) -> tuple[Bool, Bool]:
    """Return `[T]` whether a bar covers all others of its day, and whether its day has enough bars to tell."""
    starts = np.flatnonzero(np.diff(time // DAY, prepend=-1))
    stops = np.append(starts[1:], len(time))
    covering, counted = np.zeros(len(time), dtype=bool), np.zeros(len(time), dtype=bool)
    for start, stop in zip(starts, stops, strict=True):
        if stop - start < LEAST_BARS_A_DAY:
            continue
        high, low = ohlcv[start:stop, HIGH], ohlcv[start:stop, LOW]
        counted[start:stop] = True
        widest = int(np.argmax(high - low))
        others = np.arange(len(high)) != widest
        top, bottom = high[others].max(), low[others].min()
        shared = min(high[widest], top) - max(low[widest], bottom)
        covering[start + widest] = shared >= COVERED * (top - bottom) > 0
    return covering, counted


def _scaled(draft: Draft, symbol: str) -> tuple[str, ...]:
    usual = USUAL_PRICES.get(symbol.upper())
    if usual is None:
        return ()
    level = float(np.median(draft.ohlcv[:, CLOSE]))
    if usual[0] <= level <= usual[1]:
        return ()
    seen = f"the median close is {level:g}, usual for {symbol} is {usual[0]:g} to {usual[1]:g}"
    for power in (2, 1, 3, 4, 5, -2, -1, -3):
        if usual[0] <= level / 10.0**power <= usual[1]:
            factor = f"{10 ** abs(power)}"
            how = f"multiplied by {factor}" if power > 0 else f"divided by {factor}"
            return (f"prices look {how} and are taken as written: {seen}",)
    return (f"prices look wrong: {seen}",)


def _bad_ticks(draft: Draft) -> tuple[str, ...]:
    closes, wicks = spikes(draft.ohlcv[:, CLOSE]), long_wicks(draft.ohlcv)
    kinds = (
        (closes, "closes look like bad ticks (a jump that the next bar undoes)"),
        (wicks, "highs or lows look like bad ticks (far from all neighbours)"),
    )
    return tuple(f"{int(bad.sum())} {what}: {listed(draft.lines[bad])}" for bad, what in kinds if bad.any())


def spikes(close: Float) -> Bool:
    """Return `[T]` closes that jump away from both neighbours and are undone by the next bar."""
    out = np.zeros(len(close), dtype=bool)
    if len(close) < NEIGHBOURS:
        return out
    move = np.diff(close)
    usual = _usual(np.abs(move))
    there, back = move[:-1], move[1:]
    size = SPIKE * np.maximum(usual[:-1], usual[1:])
    opposite = np.sign(there) == -np.sign(back)
    large = np.minimum(np.abs(there), np.abs(back)) > size
    out[1:-1] = opposite & large & (np.abs(there + back) < REVERTED * np.abs(there))
    return out


def long_wicks(ohlcv: Float) -> Bool:
    """Return `[T]` bars whose high or low lies far from their own open and close and from both neighbouring closes."""
    out = np.zeros(len(ohlcv), dtype=bool)
    if len(ohlcv) < NEIGHBOURS:
        return out
    close = ohlcv[:, CLOSE]
    before, after = np.append(close[:1], close[:-1]), np.append(close[1:], close[-1:])
    bodies = np.stack([ohlcv[:, OPEN], close, before, after])
    distance = np.maximum(ohlcv[:, HIGH] - bodies.max(axis=0), bodies.min(axis=0) - ohlcv[:, LOW])
    far: Bool = distance > WICK * _usual(ohlcv[:, HIGH] - ohlcv[:, LOW])
    return far


def _usual(size: Float) -> Float:
    """Return `[n]` the larger of the median size of the block around each bar and of the whole series."""
    whole = float(np.median(size))
    blocks = np.array([np.median(size[i : i + 2 * NEIGHBOURS]) for i in range(0, len(size), NEIGHBOURS)])
    local = np.repeat(blocks, NEIGHBOURS)[: len(size)]
    larger: Float = np.maximum(np.maximum(local, whole), 1e-300)
    return larger
