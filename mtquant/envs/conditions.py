"""What a market did lately: trend, sideways or volatile, from bars up to and including the one it is said of.

Episodes are chosen by what happened *before* they start. Choosing them by what happens inside would show agents
trends that were picked because they went on, which no market offers.
"""

from collections.abc import Sequence

import numpy as np

from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split
from mtquant.data.volatility import history_age, scaled_moves
from mtquant.types import Bool, Float, Int

LOOKBACK = 60
"""Bars that are looked back on; fewer where the warm-up is shorter."""
LARGEST_MOVE = 10.0
"""Moves count up to this many volatilities, so that one bar does not make a trend."""
UNKNOWN, SIDEWAYS, TREND, STRONG_TREND, VOLATILE = range(5)
"""Labels; a history's first bars are unknown."""
NAMES: dict[str, tuple[int, ...]] = {
    "strong_trend": (STRONG_TREND,),
    "trend": (TREND, STRONG_TREND),
    "sideways": (SIDEWAYS,),
    "volatile": (VOLATILE,),
}
VOLATILE_ABOVE, TREND_ABOVE, STRONG_ABOVE = 2 / 3, 1 / 2, 5 / 6
"""Quantiles of the split: of turbulence, and of trend strength among the bars that are not volatile."""


def trend_and_turbulence(market: Market, point_volatility: Float, lookback: int) -> tuple[Float, Float]:
    """Return `[T]` trend strength and turbulence over the last `lookback` bars; NaN where a history is younger.

    With e the instruments' moves in the volatility known before each: strength is the mean of |sum e| / sqrt(L),
    0.8 on a random walk; turbulence is the mean of e squared, 1 where volatility is as forecast.
    """
    moves = np.clip(scaled_moves(market, point_volatility), -LARGEST_MOVE, LARGEST_MOVE)
    old = history_age(market) >= lookback
    strength = np.abs(_sums(moves, lookback)).mean(axis=1) / np.sqrt(lookback)
    turbulence = _sums(moves * moves, lookback).mean(axis=1) / lookback
    return np.where(old, strength, np.nan), np.where(old, turbulence, np.nan)


def market_conditions(dataset: Dataset, split: Split, lookback: int) -> Int:
    """Return `[T]` labels; the quantiles that separate them are those of `split`."""
    strength, turbulence = trend_and_turbulence(dataset.market, np.asarray(dataset.point_volatility), lookback)
    known = ~np.isnan(strength)
    judged = known & split.mask(len(strength))
    labels = np.full(len(strength), UNKNOWN, dtype=np.int64)
    if not judged.any():
        return labels
    volatile = known & (turbulence > np.quantile(turbulence[judged], VOLATILE_ABOVE))
    calm = strength[judged & ~volatile]
    labels[known] = SIDEWAYS
    labels[known & (strength > np.quantile(calm, TREND_ABOVE))] = TREND
    labels[known & (strength > np.quantile(calm, STRONG_ABOVE))] = STRONG_TREND
    labels[volatile] = VOLATILE
    return labels


def is_one_of(labels: Int, names: Sequence[str]) -> Bool:
    """Return where `labels` are what one of `names` stands for."""
    found: Bool = np.isin(labels, [label for name in names for label in NAMES[name]])
    return found


def _sums(values: Float, lookback: int) -> Float:
    """Return `[T, K]` sums over the last `lookback` bars; of fewer at the beginning."""
    total = np.cumsum(values, axis=0)
    total[lookback:] = total[lookback:] - total[:-lookback]
    return total
