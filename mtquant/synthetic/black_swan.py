"""Crashes written into a copy of a market's bars: every instrument falls at once, then moves together and wildly."""

from dataclasses import dataclass

import numpy as np

from mtquant.context import Streams
from mtquant.data.kernels import exponential_mean
from mtquant.data.market import CLOSE, VOLUME, Market
from mtquant.errors import DataError
from mtquant.types import Bool, Float

VOLATILITY_HALF_LIFE = 60.0
QUIET_BARS = 20
"""Bars of a history before a crash can begin: its size needs a volatility."""
WILD = 3.0
"""Moves after a crash, as a multiple of the usual ones."""


@dataclass(frozen=True)
class Crashes:
    """When crashes begin and how bad they are."""

    rate: float
    """Probability per bar that one begins."""
    size: float
    """Fall in the first bar, in volatilities of one bar."""
    bars: int
    """Wild bars after the first."""

    def begins(self, market: Market, streams: Streams) -> Bool:
        """Return `[T]` the first bars of crashes; does not depend on prices, nor on later bars."""
        out = np.zeros(len(market.time), dtype=bool)
        for index, (start, stop) in enumerate(market.history_bounds()):
            drawn = streams.rng("black swan", index).random(stop - start) < self.rate
            drawn[:QUIET_BARS] = False
            out[start:stop] = drawn
        return out

    def planted(self, market: Market, streams: Streams) -> Market:
        """Return a market with the crashes; the same object where there are none.

        Sizes follow from the bars before, so what happens up to a bar depends on nothing after it. Raises
        `DataError` for prices that are not positive: falls are shares of the price.
        """
        begins = self.begins(market, streams)
        if not begins.any():
            return market
        if (market.ohlcv[:, :, : CLOSE + 1] <= 0).any():
            raise DataError("Crashes need positive prices. Set `black_swan_rate: 0.0` for these bars.")
        ohlcv = np.array(market.ohlcv)
        for start, stop in market.history_bounds():
            ohlcv[start:stop, :, :VOLUME] = self._history(ohlcv[start:stop, :, :VOLUME], begins[start:stop])
        # where there was no bar, the last close still stands
        for t in np.flatnonzero(~market.tradable.all(axis=1)):
            gone = ~market.tradable[t]
            ohlcv[t, gone, :VOLUME] = ohlcv[t - 1 if t else t, gone, CLOSE, None]
        return Market(
            market.symbols,
            market.time,
            ohlcv,
            np.array(market.tradable),
            market.history,
            market.timeframe,
            market.bars_per_year,
            market.macro,
            market.macro_names,
        )

    def _history(self, prices: Float, begins: Bool) -> Float:
        """Return `[n, K, 4]` the bars of one history with its crashes."""
        before = np.concatenate([prices[:1, :, CLOSE], prices[:-1, :, CLOSE]])
        moves = prices / before[:, :, None] - 1.0
        close = moves[:, :, CLOSE]
        past = np.sqrt(exponential_mean(close**2, VOLATILITY_HALF_LIFE))
        scale = np.concatenate([past[:1], past[:-1]])
        # one shock for all: the mean of theirs, made as large as one of them usually is
        together = np.where(scale > 0, close / np.where(scale > 0, scale, 1.0), 0.0).mean(axis=1, keepdims=True)
        together = together * np.sqrt(close.shape[1])
        age = np.full(len(begins), self.bars + 1)
        since = self.bars + 1
        for t, fresh in enumerate(begins.tolist()):
            since = 0 if fresh else since + 1
            age[t] = since
        wild, first = (age > 0) & (age <= self.bars), age == 0
        moved = np.where(wild[:, None], WILD * scale * together, close)
        moved = np.where(first[:, None], -self.size * scale, moved)
        moved = np.maximum(moved, -0.9)
        # the rest of the bar keeps its distance from the close; a fall happens within the bar
        other = np.where((wild | first)[:, None], np.maximum(np.abs(moved), np.abs(close)) * 0.25, 0.0)
        opened = np.where((wild | first)[:, None], 0.0, moves[:, :, 0])
        high = np.where((wild | first)[:, None], np.maximum(moved, opened) + other, moves[:, :, 1])
        low = np.where((wild | first)[:, None], np.maximum(np.minimum(moved, opened) - other, -0.95), moves[:, :, 2])
        level = np.concatenate([prices[:1, :, CLOSE], prices[0, :, CLOSE] * np.cumprod(1.0 + moved[1:], axis=0)])
        base = np.concatenate([level[:1], level[:-1]])
        out: Float = base[:, :, None] * (1.0 + np.stack([opened, high, low, moved], axis=-1))
        out[0] = prices[0]
        out[:, :, CLOSE] = level
        # equality up to rounding of the candle's ends
        out[:, :, 1] = np.maximum(out[:, :, 1], np.maximum(out[:, :, 0], out[:, :, CLOSE]))
        out[:, :, 2] = np.minimum(out[:, :, 2], np.minimum(out[:, :, 0], out[:, :, CLOSE]))
        return out
