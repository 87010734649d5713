"""Indicators that the multi-agent games name: nearest neighbours, a kernel, gaps, momentum, liquidity.

As in `indicators`: causal, from `ohlcv [T, 5]` of one instrument's tradable bars in one history, to `[T]` float64,
finite, of order one, 0 being neutral and what is shown until there are enough bars.
"""

from typing import NamedTuple

import numpy as np
import talib
from numpy.lib.stride_tricks import sliding_window_view

from mtquant.data.indicators import LONG_HALF_LIFE, VOLUME_HALF_LIFE, Indicator, levels_of, neutral, volatility_of
from mtquant.data.kernels import changes, decay, exponential_mean, ratio, weighted_mean
from mtquant.data.market import CLOSE, HIGH, LOW, VOLUME
from mtquant.types import Float

RSI_BARS, FAST_WMA, SLOW_WMA = 14, 5, 20
NEIGHBOURS, MEMORY_BARS, HORIZON_BARS = 16, 256, 5
KERNEL_BARS, KERNEL_ALPHA, FAST_KERNEL, SLOW_KERNEL = 60, 8.0, 8.0, 24.0
GAP_HALF_LIFE = 20.0
MOMENTUM_BARS, ENTRY_BARS = 14, 10
GAP_SIZE, TREND_THRESHOLD = 0.7, 0.6
CHUNK = 4096


def mlmi(ohlcv: Float) -> Float:
    """Return the mean move that followed the 16 most similar of the last 256 bars, in volatilities, times two.

    Bars are alike where the fast (5) and the slow (20) weighted mean of the 14-bar RSI are; what followed is the
    move over 5 bars, so only bars that are at least 5 old count. After the "machine learning momentum index" of
    Zeiierman (TradingView, 2023), which takes its votes at crossings only. Neutral for 53 bars.
    """
    fast, slow = _rsi_means(ohlcv)
    first = RSI_BARS + SLOW_WMA - 1
    length = len(ohlcv)
    out = np.zeros(length)
    close = ohlcv[:, CLOSE]
    moved = np.zeros(length)
    scale = volatility_of(ohlcv, LONG_HALF_LIFE) * np.sqrt(HORIZON_BARS)
    moved[:-HORIZON_BARS] = np.clip(ratio(close[HORIZON_BARS:] - close[:-HORIZON_BARS], scale[:-HORIZON_BARS]), -3, 3)
    # a bar may look at 256 others, the newest of them 5 bars old; what is not there is infinitely far away
    pad = np.full(MEMORY_BARS + HORIZON_BARS - 1, np.inf)
    usable = np.arange(length) >= first
    past = [np.concatenate([pad, np.where(usable, values, np.inf)]) for values in (fast, slow)]
    followed = np.concatenate([np.zeros(len(pad)), moved])
    windows = [sliding_window_view(values, MEMORY_BARS) for values in (*past, followed)]
    for start in range(first + HORIZON_BARS + NEIGHBOURS - 1, length, CHUNK):
        bars = np.arange(start, min(start + CHUNK, length))
        distance = (windows[0][bars] - fast[bars, None]) ** 2 + (windows[1][bars] - slow[bars, None]) ** 2
        nearest = np.argpartition(distance, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        out[bars] = 2.0 * np.take_along_axis(windows[2][bars], nearest, axis=1).mean(axis=1)
    return neutral(out)


def mlmi_spread(ohlcv: Float) -> Float:
    """Return the fast less the slow weighted mean of the RSI, over 10; neutral for 33 bars."""
    fast, slow = _rsi_means(ohlcv)
    return neutral((fast - slow) / 10.0)


def illiquidity(ohlcv: Float) -> Float:
    """Return the log of the absolute move per volume against its usual size (half-lives 10 and 50 bars).

    Amihud (Journal of Financial Markets, 2002). Neutral without volume and for 20 bars.
    """
    volume = ohlcv[:, VOLUME]
    impact = ratio(np.abs(changes(ohlcv[:, CLOSE])), volume)
    recent, usual = exponential_mean(impact, 10.0), exponential_mean(impact, VOLUME_HALF_LIFE)
    out = np.log(np.maximum(ratio(recent, usual, otherwise=1.0), 1e-4))
    out[:20] = 0.0
    return neutral(np.where(volume > 0, 2.0 * out, 0.0))


def money_flow(ohlcv: Float) -> Float:
    """Return where closes lay in their bars, from -1 to 1, weighted by volume (half-life 10 bars), times two.

    Chaikin's money flow with fading weights; neutral without volume.
    """
    high, low, close, volume = (ohlcv[:, c] for c in (HIGH, LOW, CLOSE, VOLUME))
    place = 2.0 * ratio(close - low, high - low, otherwise=0.5) - 1.0
    return neutral(2.0 * ratio(exponential_mean(place * volume, 10.0), exponential_mean(volume, 10.0)))


def kernel_mean(close: Float, bandwidth: float) -> Float:
    """Return `[T]` the Nadaraya-Watson mean of the last 60 closes under the rational quadratic kernel.

    Weights (1 + i^2 / (2 alpha h^2))^-alpha at lag i, alpha = 8, over the bars there are; only past bars count, so
    it does not repaint. Nadaraya (1964), Watson (1964); kernel: Rasmussen and Williams (2006), eq. 4.19.
    """
    lag = np.arange(KERNEL_BARS)
    return weighted_mean(close, (1.0 + lag**2 / (2.0 * KERNEL_ALPHA * bandwidth**2)) ** -KERNEL_ALPHA)


def nwrqk_slope(ohlcv: Float) -> Float:
    """Return the last change of the kernel mean (bandwidth 8) over the volatility, times four."""
    level = levels_of(ohlcv)
    slope = changes(kernel_mean(level[:, CLOSE], FAST_KERNEL))
    return neutral(4.0 * ratio(slope, volatility_of(level, LONG_HALF_LIFE)))


def nwrqk_gap(ohlcv: Float) -> Float:
    """Return the close less the kernel mean (bandwidth 8) over the volatility, halved."""
    level = levels_of(ohlcv)
    gap = level[:, CLOSE] - kernel_mean(level[:, CLOSE], FAST_KERNEL)
    return neutral(0.5 * ratio(gap, volatility_of(level, LONG_HALF_LIFE)))


def nwrqk_cross(ohlcv: Float) -> Float:
    """Return the fast less the slow kernel mean (bandwidths 8 and 24) over the volatility, halved."""
    level = levels_of(ohlcv)
    apart = kernel_mean(level[:, CLOSE], FAST_KERNEL) - kernel_mean(level[:, CLOSE], SLOW_KERNEL)
    return neutral(0.5 * ratio(apart, volatility_of(level, LONG_HALF_LIFE)))


class Gaps(NamedTuple):
    """The newest open fair value gap of one direction at every bar; `[T]` each, zero where there is none."""

    lower: Float
    upper: Float
    born: Float
    """Bar that completed the gap; -1 where there is none."""
    open_share: Float
    """Share of the gap that no later bar has entered."""

    def confidence(self) -> Float:
        """Return `[T]` the open share, halved every 20 bars; 0 where there is none."""
        age = np.arange(len(self.born)) - self.born
        return np.where(self.born >= 0, self.open_share * decay(GAP_HALF_LIFE) ** np.maximum(age, 0), 0.0)


def fair_value_gaps(ohlcv: Float, size: float = GAP_SIZE) -> tuple[Gaps, Gaps]:
    """Return the bullish and the bearish gaps: three bars of which the outer two do not overlap.

    A bullish gap lies between the high of bar t - 2 and the low of bar t, where this is above; a bearish one below.
    It counts if it is at least `size` volatilities of one bar (half-life 60) wide, and is filled as later bars enter
    it. Only the newest gap of each direction is followed.
    """
    high, low = ohlcv[:, HIGH], ohlcv[:, LOW]
    least = size * volatility_of(ohlcv, LONG_HALF_LIFE)
    bullish = _followed(high, low, low, least)
    mirrored = _followed(-low, -high, -high, least)
    return bullish, Gaps(-mirrored.upper, -mirrored.lower, mirrored.born, mirrored.open_share)


def _followed(high: Float, low: Float, entered: Float, least: Float) -> Gaps:
    """Follow gaps between `high` two bars ago and `low`; `entered` [T] is how deep each bar comes back."""
    width = np.zeros(len(high))
    width[2:] = low[2:] - high[:-2]
    found = (width >= least) & (width > 0.0)
    out = np.zeros((4, len(high)))
    out[2] = -1.0
    lower = upper = deepest = 0.0
    born = -1
    # the state of one bar follows from the one before: a loop over plain floats
    for t, (new, depth) in enumerate(zip(found.tolist(), entered.tolist(), strict=True)):
        if new:
            lower, upper, born, deepest = float(high[t - 2]), float(low[t]), t, float(low[t])
        elif born >= 0:
            deepest = min(deepest, depth)
            if deepest <= lower:
                born = -1
        if born >= 0:
            out[:, t] = lower, upper, born, min((deepest - lower) / (upper - lower), 1.0)
    return Gaps(*out)


def fvg_bullish(ohlcv: Float, size: float = GAP_SIZE) -> Float:
    """Return the confidence of the newest bullish gap, doubled; 0 where there is none."""
    return neutral(2.0 * fair_value_gaps(ohlcv, size)[0].confidence())


def fvg_bearish(ohlcv: Float, size: float = GAP_SIZE) -> Float:
    """Return the confidence of the newest bearish gap, doubled; 0 where there is none."""
    return neutral(2.0 * fair_value_gaps(ohlcv, size)[1].confidence())


def fvg_distance(ohlcv: Float, size: float = GAP_SIZE) -> Float:
    """Return the close less the middle of the newest gap, over three volatilities, faded like its confidence."""
    bullish, bearish = fair_value_gaps(ohlcv, size)
    newer = bullish.born >= bearish.born
    confidence = np.where(newer, bullish.confidence(), bearish.confidence())
    middle = np.where(newer, bullish.lower + bullish.upper, bearish.lower + bearish.upper) / 2.0
    away = ratio(ohlcv[:, CLOSE] - middle, 3.0 * volatility_of(ohlcv, LONG_HALF_LIFE))
    return neutral(np.where(confidence > 0.0, away * confidence, 0.0))


def momentum(ohlcv: Float, bars: int = MOMENTUM_BARS) -> Float:
    """Return the move over `bars` bars in volatilities of that time; over the bars there are at the start."""
    close = ohlcv[:, CLOSE]
    before = np.maximum(np.arange(len(close)) - bars, 0)
    return neutral(ratio(close - close[before], volatility_of(ohlcv, LONG_HALF_LIFE) * np.sqrt(bars)))


def trend_strength(ohlcv: Float, bars: int = MOMENTUM_BARS, threshold: float = TREND_THRESHOLD) -> Float:
    """Return the signed efficiency of the last `bars` bars (net move over path), doubled; 0 below `threshold`."""
    close = ohlcv[:, CLOSE]
    path = np.cumsum(np.abs(changes(close)))
    before = np.maximum(np.arange(len(close)) - bars, 0)
    walked = path - path[before]
    # a difference of running sums keeps rounding residue of the whole path; a flat stretch has walked nothing
    walked = np.where(walked > 1e-12 * path, walked, 0.0)
    efficiency = np.clip(ratio(close - close[before], walked), -1.0, 1.0)
    efficiency[:bars] = 0.0
    return neutral(np.where(np.abs(efficiency) >= threshold, 2.0 * efficiency, 0.0))


def entry_location(ohlcv: Float, bars: int = ENTRY_BARS) -> Float:
    """Return where the close lies in the range of the last `bars` bars, from -1 (lowest) to 1 (highest)."""
    high = np.maximum.accumulate(ohlcv[:, HIGH])
    low = np.minimum.accumulate(ohlcv[:, LOW])
    if len(high) >= bars:
        high[bars - 1 :] = sliding_window_view(ohlcv[:, HIGH], bars).max(axis=1)
        low[bars - 1 :] = sliding_window_view(ohlcv[:, LOW], bars).min(axis=1)
    return neutral(2.0 * ratio(ohlcv[:, CLOSE] - low, high - low, otherwise=0.5) - 1.0)


def _rsi_means(ohlcv: Float) -> tuple[Float, Float]:
    """Return the fast and the slow weighted mean of the RSI less 50; 0 until there are 33 bars."""
    close = levels_of(ohlcv)[:, CLOSE]
    moved = np.cumsum(np.abs(changes(close))) > 0
    rsi = np.where(moved, np.nan_to_num(talib.RSI(close, RSI_BARS), nan=50.0) - 50.0, 0.0)
    out = []
    for bars in (FAST_WMA, SLOW_WMA):
        mean = weighted_mean(rsi, np.arange(bars, 0, -1.0))
        mean[: RSI_BARS + SLOW_WMA - 1] = 0.0
        out.append(mean)
    return out[0], out[1]


PATTERNS: dict[str, Indicator] = {
    "mlmi": mlmi,
    "mlmi_spread": mlmi_spread,
    "illiquidity": illiquidity,
    "money_flow": money_flow,
    "nwrqk_slope": nwrqk_slope,
    "nwrqk_gap": nwrqk_gap,
    "nwrqk_cross": nwrqk_cross,
    "fvg_bullish": fvg_bullish,
    "fvg_bearish": fvg_bearish,
    "fvg_distance": fvg_distance,
    "momentum": momentum,
    "trend_strength": trend_strength,
    "entry_location": entry_location,
}
