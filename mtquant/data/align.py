"""One clock for several instruments, without inventing bars."""

from collections.abc import Sequence

import numpy as np

from mtquant.data import timeframes
from mtquant.data.bars import Bars
from mtquant.data.market import CLOSE, VOLUME, Market
from mtquant.errors import DataError
from mtquant.types import Float, Int

YEAR = 365.25 * 86_400_000_000_000


def align(bars: Sequence[Bars], timeframe: str | None = None) -> Market:
    """Return a market of one history on the union of all bar times in the period that every instrument covers.

    Where an instrument has no bar it is not tradable and its last close marks positions. `timeframe` is checked
    against the median spacing of each instrument, or inferred from it. Raises `DataError` for instruments named
    twice, of different bar lengths, or whose periods do not overlap.
    """
    symbols = tuple(b.symbol for b in bars)
    if len(set(symbols)) != len(symbols) or not symbols:
        raise DataError(f"Instruments {list(symbols)} were to be aligned; each must be named once.")
    frame = common_timeframe(bars, timeframe)
    start = max(int(b.time[0]) for b in bars)
    stop = min(int(b.time[-1]) for b in bars)
    if start > stop:
        periods = "; ".join(f"{b.symbol} {day(b.time[0])} to {day(b.time[-1])}" for b in bars)
        raise DataError(f"The instruments share no period: {periods}. Bring bars of one period or leave some out.")
    clock = np.unique(np.concatenate([b.time[(b.time >= start) & (b.time <= stop)] for b in bars]))
    ohlcv = np.empty((len(clock), len(bars), 5))
    tradable = np.empty((len(clock), len(bars)), dtype=bool)
    for k, one in enumerate(bars):
        # Every instrument begins at or before `start`, so an index is never negative; the last bar is carried.
        index = np.searchsorted(one.time, clock, side="right") - 1
        tradable[:, k] = one.time[index] == clock
        ohlcv[:, k] = one.ohlcv[index]
        missing = ~tradable[:, k]
        ohlcv[missing, k, :VOLUME] = one.ohlcv[index[missing], CLOSE, None]
        ohlcv[missing, k, VOLUME] = 0.0
    return Market(symbols, clock, ohlcv, tradable, np.zeros(len(clock), dtype=np.int64), frame, bars_per_year(clock))


def common_timeframe(bars: Sequence[Bars], wanted: str | None) -> str:
    """Return the bar length of all `bars`; raises `DataError` where they differ or are not the `wanted` one."""
    found = {b.symbol: timeframes.inferred(b.time) for b in bars}
    if wanted is not None:
        timeframes.length(wanted)
    expected = wanted or next(iter(found.values()))
    if any(label != expected for label in found.values()):
        each = ", ".join(f"{b.symbol} {found[b.symbol]} ({b.source})" for b in bars)
        asked = f"`{wanted}` was asked for" if wanted else "one bar length is needed"
        raise DataError(f"The bars are of different lengths, by their median spacing: {each}; {asked}.")
    return expected


def bars_per_year(clock: Int) -> float:
    """Return how many bars of the clock pass in a year of 365.25 days; needs two bars."""
    if len(clock) < 2:
        raise DataError(f"The instruments share {len(clock)} bars; at least two are needed. Bring more bars.")
    return float((len(clock) - 1) / ((int(clock[-1]) - int(clock[0])) / YEAR))


def day(time: int | np.int64) -> str:
    """Return the UTC date of a time in ns."""
    return str(np.datetime64(int(time), "ns").astype("datetime64[D]"))


def common_bars(market: Market) -> int:
    """Return the number of bars at which every instrument is tradable."""
    return int(market.tradable.all(axis=1).sum())


def with_macro(market: Market, values: Float, names: tuple[str, ...]) -> Market:
    """Return the market with macro columns `[T, M]`."""
    return Market(
        market.symbols,
        market.time,
        market.ohlcv,
        market.tradable,
        market.history,
        market.timeframe,
        market.bars_per_year,
        values,
        names,
    )
