"""Other futures: copies of a market in which everything up to a bar stays and later bars do not."""

from collections.abc import Callable

import numpy as np

from mtquant.context import Streams
from mtquant.data.market import CLOSE, VOLUME, Market
from mtquant.synthetic.catalogue import CATALOGUE
from mtquant.types import Bool, Float, Int

Perturbation = Callable[[Market, int, np.random.Generator], Market]
"""Market, last bar that stays, random numbers; to the same market with later bars changed."""

REDRAWN = 0.3
"""Standard deviation of the log change of redrawn prices: far beyond any bar, and signs stay."""
MISSING = 0.25
LAST_PART = 5
"""The test split is taken to begin no later than the last fifth of the bars."""


def random_walk(
    streams: Streams, symbols: tuple[str, ...] = ("EURUSD", "GBPUSD", "XAUUSD", "SPX500"), bars: int = 600
) -> Market:
    """Return daily bars in two histories, with gaps between bars, a shared shock and one bar in four missing.

    Gaps, because where every bar opens at the last close a fill at a price already seen looks like an honest one.
    """
    rng = streams.rng("causality", "market")
    shape = (bars, len(symbols))
    common = rng.standard_normal((bars, 1))
    moves = 0.01 * (0.6 * common + 0.8 * rng.standard_normal(shape))
    close = np.array([CATALOGUE[s].start_price for s in symbols]) * np.cumprod(1.0 + moves, axis=0)
    opened = np.concatenate([close[:1], close[:-1]]) * (1.0 + 0.004 * rng.standard_normal(shape))
    spread = 0.004 * close * rng.random((2, *shape))
    high, low = np.maximum(opened, close) + spread[0], np.minimum(opened, close) - spread[1]
    volume = rng.uniform(50.0, 500.0, shape)
    tradable = rng.random(shape) >= MISSING
    half = bars // 2
    tradable[[0, half]] = True
    market = Market(
        symbols,
        np.arange(bars) * 86_400_000_000_000,
        np.stack([opened, high, low, close, volume], axis=-1),
        tradable,
        np.repeat([0, 1], [half, bars - half]),
        "D1",
        260.0,
    )
    return changed(market, market.ohlcv, tradable)


def values_after(market: Market, present: int, rng: np.random.Generator) -> Market:
    """Redraw prices, volume and macro columns of all later bars."""
    return _redrawn(market, np.arange(len(market.time)) > present, rng)


def missing_after(market: Market, present: int, rng: np.random.Generator) -> Market:
    """Redraw which later bars exist, from the second on.

    Whether the very next bar exists is not known either, but it decides whether an order is executed.
    """
    tradable = np.array(market.tradable)
    tradable[present + 2 :] = rng.random(tradable[present + 2 :].shape) < 0.6
    # a history begins when every instrument has had a bar
    begins = [start for start, _ in market.history_bounds() if start > present + 1]
    tradable[begins] = market.tradable[begins]
    return changed(market, market.ohlcv, tradable)


def later_histories(market: Market, present: int, rng: np.random.Generator) -> Market:
    """Redraw the histories after that of the bar; the rest of its own stays."""
    return _redrawn(market, market.history > market.history[present], rng)


def last_part(market: Market, present: int, rng: np.random.Generator) -> Market:
    """Redraw the last fifth of the bars, as far as it lies later."""
    index = np.arange(len(market.time))
    return _redrawn(market, (index > present) & (index >= len(index) - len(index) // LAST_PART), rng)


PERTURBATIONS: dict[str, Perturbation] = {
    "values": values_after,
    "missing bars": missing_after,
    "later histories": later_histories,
    "test split": last_part,
}


def gap_after(market: Market, present: int, points: Float) -> Market:
    """Return the market with `points` [K] added to all prices after the bar."""
    ohlcv = np.array(market.ohlcv)
    ohlcv[present + 1 :, :, :VOLUME] += points[:, None]
    return changed(market, ohlcv, market.tradable)


def changed(market: Market, ohlcv: Float, tradable: Bool, macro: Float | None = None) -> Market:
    """Return the market with other bars, in which missing ones repeat the last close at no volume."""
    ohlcv = np.array(ohlcv)
    starts = {start for start, _ in market.history_bounds()}
    for t in np.flatnonzero(~tradable.all(axis=1)):
        if int(t) not in starts:
            gone = ~tradable[t]
            ohlcv[t, gone, :VOLUME] = ohlcv[t - 1, gone, CLOSE, None]
            ohlcv[t, gone, VOLUME] = 0.0
    return Market(
        market.symbols,
        market.time,
        ohlcv,
        np.array(tradable),
        market.history,
        market.timeframe,
        market.bars_per_year,
        market.macro if macro is None else macro,
        market.macro_names,
    )


def truncated(market: Market, bars: int) -> Market:
    """Return the first `bars` bars."""
    kept: Int = market.history[:bars]
    return Market(
        market.symbols,
        market.time[:bars],
        market.ohlcv[:bars],
        market.tradable[:bars],
        kept,
        market.timeframe,
        market.bars_per_year,
        market.macro[:bars],
        market.macro_names,
    )


def _redrawn(market: Market, later: Bool, rng: np.random.Generator) -> Market:
    ohlcv, macro = np.array(market.ohlcv), np.array(market.macro)
    shape = (int(later.sum()), len(market.symbols))
    ends = ohlcv[later][:, :, [0, CLOSE]] * np.exp(REDRAWN * rng.standard_normal((*shape, 2)))
    reach = np.abs(ends).max(axis=2, keepdims=True) * 0.05 * rng.random((*shape, 2))
    high, low = ends.max(axis=2) + reach[:, :, 0], ends.min(axis=2) - reach[:, :, 1]
    volume = rng.uniform(0.0, 500.0, shape)
    ohlcv[later] = np.stack([ends[:, :, 0], high, low, ends[:, :, 1], volume], axis=-1)
    macro[later] += rng.standard_normal(macro[later].shape)
    return changed(market, ohlcv, market.tradable, macro)
