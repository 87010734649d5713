"""Point volatility: the standard deviation of one bar's price change, known at the close of the bar.

`fixed`: sigma_k |close_t|, sigma_k from the train split (what planted markets are defined with).
`ewma`: exponential mean of squared price changes over tradable bars; works with zero and negative prices.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mtquant.data.kernels import changes, exponential_sum, hold_last
from mtquant.data.market import Market
from mtquant.errors import DataError
from mtquant.types import Bool, Float

Kind = Literal["fixed", "ewma"]

PRIOR_BARS = 20.0
"""Weight, in bars, of the train split's typical move at the start of each history."""
FLOOR_SHARE = 0.05
"""Smallest volatility as a share of the train split's median."""
MEDIAN_TO_STD = 1.4826
"""Standard deviation of a normal variable over the median of its absolute value."""


@dataclass(frozen=True)
class VolatilityScale:
    """What the train split says about the size of one bar's move, `[K]` each."""

    simple_return_std: Float
    """Standard deviation of one-bar simple returns."""
    typical_return: Float
    """1.4826 x median of non-zero absolute simple returns: the prior of a history's first bars."""
    floor_points: Float
    """Smallest point volatility."""


def fit_scale(market: Market, train: Bool, kind: Kind, half_life: float) -> VolatilityScale:
    """Measure the scale on the tradable bars where `train` [T] is True.

    Raises `DataError` where a price never moves, or where `fixed` meets a price that is not positive.
    """
    count = len(market.symbols)
    std, typical = np.zeros(count), np.zeros(count)
    change, previous, inside = _moves(market)
    for k, symbol in enumerate(market.symbols):
        close = market.close[:, k]
        if kind == "fixed" and (close <= 0).any():
            row = int(np.argmax(close <= 0))
            raise DataError(
                f"{symbol} closes at {close[row]:g} in bar {row}; `features.volatility: fixed` needs positive prices. "
                "Use `features.volatility: ewma`."
            )
        used = inside & train & market.tradable[:, k] & (previous[:, k] != 0)
        returns = change[used, k] / np.abs(previous[used, k])
        moved = np.abs(returns[returns != 0])
        if len(moved) < 2:
            raise DataError(
                f"{symbol} moves in {len(moved)} of the {int(used.sum())} tradable bars of the train split; "
                "a volatility cannot be measured. Leave the instrument out or bring more bars."
            )
        std[k], typical[k] = returns.std(), MEDIAN_TO_STD * np.median(moved)
    scale = VolatilityScale(std, typical, np.zeros(count))
    raw = point_volatility(market, scale, kind, half_life)
    median = np.array([np.median(raw[train & market.tradable[:, k], k]) for k in range(count)])
    return VolatilityScale(std, typical, FLOOR_SHARE * median if kind == "ewma" else np.zeros(count))


def point_volatility(market: Market, scale: VolatilityScale, kind: Kind, half_life: float) -> Float:
    """Return `[T, K]`, positive, in price points.

    `ewma` starts each history at the train split's typical move times its first close and gives that start the
    weight of 20 bars, which fades with the half-life; bars that are not tradable hold the last value.
    """
    if kind == "fixed":
        return scale.simple_return_std * market.close
    out = np.empty(market.close.shape)
    for start, stop in market.history_bounds():
        for k in range(len(market.symbols)):
            known = market.tradable[start:stop, k]
            close = market.close[start:stop, k]
            prior = scale.typical_return[k] * abs(close[0])
            values = _ewma(close[known], prior, half_life)
            out[start:stop, k] = hold_last(values, known, stop - start)
            out[start:stop, k][: _first(known)] = prior
    floored: Float = np.maximum(out, scale.floor_points)
    return floored


def scaled_moves(market: Market, volatility: Float) -> Float:
    """Return eps `[T, K]`: each bar's price change over the volatility known one bar before; 0 at a history's start.

    Bars that are not tradable repeat the last close, so their eps is 0.
    """
    eps = np.zeros(market.close.shape)
    for start, stop in market.history_bounds():
        eps[start + 1 : stop] = np.diff(market.close[start:stop], axis=0) / volatility[start : stop - 1]
    return eps


def _moves(market: Market) -> tuple[Float, Float, Bool]:
    """Return price changes, previous closes `[T, K]`, and `[T]` whether the bar has a predecessor in its history."""
    change, previous = np.zeros(market.close.shape), np.zeros(market.close.shape)
    inside = np.zeros(len(market.time), dtype=bool)
    for start, stop in market.history_bounds():
        change[start:stop] = changes(market.close[start:stop])
        previous[start + 1 : stop] = market.close[start : stop - 1]
        inside[start + 1 : stop] = True
    return change, previous, inside


def _ewma(close: Float, prior: float, half_life: float) -> Float:
    """Return the standard deviation of changes of `close` [n], shrunk towards `prior` while bars are few."""
    if not len(close):
        return np.zeros(0)
    # The first close has no change: it stands for the prior, whose weight fades like any bar's.
    squares = changes(close) ** 2
    squares[0] = PRIOR_BARS * prior**2
    weights = np.ones(len(close))
    weights[0] = PRIOR_BARS
    out: Float = np.sqrt(exponential_sum(squares, half_life) / exponential_sum(weights, half_life))
    return out


def _first(known: Bool) -> int:
    return int(np.argmax(known)) if known.any() else len(known)


def history_age(market: Market) -> np.ndarray:
    """Return `[T]` the number of bars before each bar in its history."""
    age = np.empty(len(market.time), dtype=np.int64)
    for start, stop in market.history_bounds():
        age[start:stop] = np.arange(stop - start)
    return age
