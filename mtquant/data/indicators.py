"""Technical indicators: pure causal functions of one instrument's bars in one history.

Each takes `ohlcv [T, 5]` (tradable bars only) and returns `[T]` float64, finite, of order one and centred,
so that 0 is neutral: it is what every indicator shows until it has enough bars, and where it has no meaning
(no range, no volume, a price that never moved). Prices may be zero or negative: only differences and
positions within ranges are used. Values are clipped to [-10, 10].
"""

from collections.abc import Callable

import numpy as np
import talib

from mtquant.data.kernels import changes, exponential_mean, ratio
from mtquant.data.market import CLOSE, HIGH, LOW, VOLUME
from mtquant.types import Float

Indicator = Callable[[Float], Float]

BOUND = 10.0
RSI_BARS = 14
ADX_BARS = 14
BOLLINGER_BARS = 20
MACD_BARS = (12, 26, 9)
VOLUME_HALF_LIFE = 50.0
VOLUME_WARM_UP = 20
SHORT_HALF_LIFE, LONG_HALF_LIFE = 10.0, 60.0
DRAWDOWN_BARS = 250
STATE_HALF_LIFE = 250.0
TREND_BARS = 48


def levels_of(ohlcv: Float) -> Float:
    """Return `[T, 4]` prices measured from the first close in units of its size.

    TA-Lib compares variances with an absolute threshold; this makes its result independent of the price scale.
    """
    first = float(ohlcv[0, CLOSE])
    spread = float(ohlcv[0, HIGH] - ohlcv[0, LOW])
    size = abs(first) or abs(spread) or 1.0
    out: Float = np.ascontiguousarray((ohlcv[:, :4] - first) / size)
    return out


def neutral(values: Float) -> Float:
    """Replace what is not yet known by 0 and bound the rest."""
    out: Float = np.clip(np.nan_to_num(values, nan=0.0, posinf=BOUND, neginf=-BOUND), -BOUND, BOUND)
    return out


def volatility_of(ohlcv: Float, half_life: float) -> Float:
    """Return `[T]` the causal standard deviation of one bar's price change, in points; 0 before the first change."""
    out: Float = np.sqrt(exponential_mean(changes(ohlcv[:, CLOSE]) ** 2, half_life))
    return out


def rsi(ohlcv: Float) -> Float:
    """Return Wilder's relative strength index over 14 bars as (RSI - 50) / 25; neutral for 14 bars (Wilder, 1978)."""
    close = levels_of(ohlcv)[:, CLOSE]
    value = talib.RSI(close, RSI_BARS)
    moved = np.cumsum(np.abs(changes(close))) > 0
    return neutral(np.where(moved, (value - 50.0) / 25.0, 0.0))


def adx(ohlcv: Float) -> Float:
    """Return Wilder's average directional index over 14 bars as (ADX - 25) / 25; neutral for 27 bars (Wilder, 1978)."""
    level = levels_of(ohlcv)
    high, low, close = (np.ascontiguousarray(level[:, c]) for c in (HIGH, LOW, CLOSE))
    return neutral((talib.ADX(high, low, close, ADX_BARS) - 25.0) / 25.0)


def bollinger(ohlcv: Float) -> Float:
    """Return 2 %b - 1 of 20-bar bands two standard deviations wide; neutral for 19 bars (Bollinger, 2001)."""
    close = np.ascontiguousarray(levels_of(ohlcv)[:, CLOSE])
    upper, middle, _ = talib.BBANDS(close, BOLLINGER_BARS, 2.0, 2.0)
    width = np.nan_to_num(upper - middle)
    return neutral(ratio(np.nan_to_num(close - middle), width))


def macd(ohlcv: Float) -> Float:
    """Return the 12-26-9 MACD histogram over the 60-bar volatility; neutral for 33 bars (Appel, 1979)."""
    close = np.ascontiguousarray(levels_of(ohlcv)[:, CLOSE])
    histogram = np.nan_to_num(talib.MACD(close, *MACD_BARS)[2])
    volatility = np.sqrt(exponential_mean(changes(close) ** 2, LONG_HALF_LIFE))
    return neutral(ratio(histogram, volatility))


def close_location(ohlcv: Float) -> Float:
    """Return where the close lies in the bar, from -1 (low) to 1 (high); neutral where the bar has no range."""
    high, low, close = ohlcv[:, HIGH], ohlcv[:, LOW], ohlcv[:, CLOSE]
    place = ratio(close - low, high - low, otherwise=0.5)
    return np.clip(2.0 * place - 1.0, -1.0, 1.0)


def volume(ohlcv: Float) -> Float:
    """Return the z-score of log volume against its past (half-life 50 bars); neutral for 20 bars or without volume."""
    amount = np.log1p(ohlcv[:, VOLUME])
    mean = exponential_mean(amount, VOLUME_HALF_LIFE)
    variance = exponential_mean(amount**2, VOLUME_HALF_LIFE) - mean**2
    past_std = np.sqrt(np.maximum(variance, 0.0))[:-1]
    score = np.zeros(len(amount))
    # Rounding leaves a variance of about 1e-14 on constant volume: below 1e-6 there is nothing to score.
    score[1:] = ratio(amount[1:] - mean[:-1], np.where(past_std > 1e-6, past_std, 0.0))
    score[:VOLUME_WARM_UP] = 0.0
    return neutral(np.where(ohlcv[:, VOLUME] > 0, score, 0.0))


def volatility_ratio(ohlcv: Float) -> Float:
    """Return the log of short over long volatility (half-lives 10 and 60 bars); neutral until the price moves."""
    short, long = volatility_of(ohlcv, SHORT_HALF_LIFE), volatility_of(ohlcv, LONG_HALF_LIFE)
    return neutral(np.log(np.maximum(ratio(short, long, otherwise=1.0), 1e-4)))


def drawdown(ohlcv: Float) -> Float:
    """Return the distance below the highest close of 250 bars, over the volatility of sqrt(60) bars; at most 0."""
    close = np.ascontiguousarray(ohlcv[:, CLOSE])
    highest = np.maximum.accumulate(close)
    if len(close) > DRAWDOWN_BARS:
        highest[DRAWDOWN_BARS:] = talib.MAX(close, DRAWDOWN_BARS)[DRAWDOWN_BARS:]
    scale = volatility_of(ohlcv, LONG_HALF_LIFE) * np.sqrt(LONG_HALF_LIFE)
    return neutral(ratio(close - highest, scale))


def volatility_state(ohlcv: Float) -> Float:
    """Return whether volatility is high (1) or low (-1) against its own history (half-life 250 bars), smoothly."""
    present, usual = volatility_of(ohlcv, SHORT_HALF_LIFE), volatility_of(ohlcv, STATE_HALF_LIFE)
    return np.tanh(2.0 * np.log(np.maximum(ratio(present, usual, otherwise=1.0), 1e-4)))


def trend_state(ohlcv: Float) -> Float:
    """Return the signed efficiency of the last 48 bars: net move over path length, from -1 to 1 (Kaufman, 1995)."""
    close = ohlcv[:, CLOSE]
    path = np.cumsum(np.abs(changes(close)))
    before = np.maximum(np.arange(len(close)) - TREND_BARS, 0)
    walked = path - path[before]
    # A difference of running sums keeps rounding residue of the whole path; a flat stretch has walked nothing.
    walked = np.where(walked > 1e-12 * path, walked, 0.0)
    return np.clip(ratio(close - close[before], walked), -1.0, 1.0)


INDICATORS: dict[str, Indicator] = {
    "rsi": rsi,
    "adx": adx,
    "bollinger": bollinger,
    "macd": macd,
    "range": close_location,
    "volume": volume,
    "volatility_ratio": volatility_ratio,
    "drawdown": drawdown,
}

REGIMES: dict[str, Indicator] = {"volatility_state": volatility_state, "trend_state": trend_state}
