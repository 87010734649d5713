"""From scaled returns to bars: prices, candles, volume and the clock."""

import numpy as np

from mtquant.context import Streams
from mtquant.data.market import Market
from mtquant.data.splits import NAMES, Splits, by_history
from mtquant.synthetic.catalogue import CATALOGUE, SYMBOLS
from mtquant.types import Float, Int

MONDAY = np.datetime64("2000-01-03", "ns").astype(np.int64)
"""First bar of every history. Histories are independent, so they may share a calendar."""
_HOUR = 3_600_000_000_000
VOLUME_LOG_STD = 0.3
VOLUME_ON_MOVE = 0.5

HistoryNames = list[tuple[str, int]]


def named_histories(counts: tuple[int, int, int]) -> HistoryNames:
    """Return `(split, index)` of every history in order; these name the random streams."""
    return [(name, i) for name, count in zip(NAMES, counts, strict=True) for i in range(count)]


def stacked_normal(streams: Streams, histories: HistoryNames, kind: str, shape: tuple[int, ...]) -> Float:
    """Return `[H, *shape]` standard normal numbers, one stream per history.

    Rows are drawn in time order, so that a longer history begins with the shorter one.
    """
    return np.stack([streams.rng("planted", split, i, kind).standard_normal(shape) for split, i in histories])


def stacked_uniform(streams: Streams, histories: HistoryNames, kind: str, shape: tuple[int, ...]) -> Float:
    """Return `[H, *shape]` uniform numbers in [0, 1), one stream per history, in time order."""
    return np.stack([streams.rng("planted", split, i, kind).random(shape) for split, i in histories])


def business_clock(bars: int, timeframe: str) -> Int:
    """Return `[bars]` open times, ns UTC: days Monday to Friday (`D1`) or their 24 hours (`H1`); no holidays."""
    index = np.arange(bars)
    per_day = 24 if timeframe == "H1" else 1
    day, hour = np.divmod(index, per_day)
    hours = (day // 5 * 7 + day % 5) * 24 + hour
    clock: Int = MONDAY + hours * _HOUR
    return clock


def candles(open_: Float, close: Float, bar_volatility: Float, uniforms: Float) -> tuple[Float, Float]:
    """Return high and low given open and close `[..., K]` and uniforms `[..., K, 2]` in [0, 1).

    Each is the exact extreme of a Brownian bridge between the logs; they are drawn independently, which makes
    the Parkinson variance 2.7 % too high and leaves E[ln(H/O)] = .798 s exact.
    """
    move = np.log(close / open_)
    spread = -2.0 * bar_volatility[..., None] ** 2 * np.log1p(-uniforms)  # 1 - U lies in (0, 1]: never log 0
    root = np.sqrt(move[..., None] ** 2 + spread)
    high = open_ * np.exp((move + root[..., 0]) / 2)
    low = open_ * np.exp((move - root[..., 1]) / 2)
    # Equality up to rounding when the bridge does not leave [O, C]: the inequality must hold exactly.
    return np.maximum(high, np.maximum(open_, close)), np.minimum(low, np.minimum(open_, close))


def bars_from_returns(eps: Float, volatility: Float, start: Float, streams: Streams, histories: HistoryNames) -> Float:
    """Return `[H, T, 8, 5]` bars of returns `eps [H, T, 8]` in units of `volatility [8]`.

    The open repeats the previous close (the first open is the start price), so that a fill at the next open
    earns the whole bar. Columns are the catalogue's, whatever will be selected.
    """
    shape = eps.shape[1:]
    close = start * np.cumprod(1.0 + volatility * eps, axis=1)
    open_ = np.concatenate([np.broadcast_to(start, (len(eps), 1, len(start))), close[:, :-1]], axis=1)
    uniforms = stacked_uniform(streams, histories, "range", (*shape, 2))
    high, low = candles(open_, close, np.broadcast_to(volatility, eps.shape), uniforms)
    noise = stacked_normal(streams, histories, "volume", shape)
    level = np.array([CATALOGUE[s].volume for s in SYMBOLS])
    volume = level * np.exp(VOLUME_LOG_STD * noise + VOLUME_ON_MOVE * np.abs(eps))
    return np.stack([open_, high, low, close, volume], axis=-1)


def assemble(
    symbols: tuple[str, ...],
    ohlcv: Float,
    macro: Float,
    macro_names: tuple[str, ...],
    clock: tuple[str, float],
    counts: tuple[int, int, int],
) -> tuple[Market, Splits]:
    """Return the market of bars `[H, T, 8, 5]` and macro columns `[H, T, M]`; `clock`: timeframe, bars per year.

    Histories follow each other (train, validation, test), each on the same calendar.
    """
    count, bars = ohlcv.shape[:2]
    columns = [SYMBOLS.index(s) for s in symbols]
    timeframe, bars_per_year = clock
    market = Market(
        symbols,
        np.tile(business_clock(bars, timeframe), count),
        np.ascontiguousarray(ohlcv[:, :, columns].reshape(count * bars, len(symbols), 5)),
        np.ones((count * bars, len(symbols)), dtype=bool),
        np.repeat(np.arange(count), bars),
        timeframe,
        bars_per_year,
        np.ascontiguousarray(macro.reshape(count * bars, -1)),
        macro_names,
    )
    return market, by_history(market, counts)
