"""Probability of backtest overfitting: how often the best configuration in sample is below the middle out of sample.

Combinatorially symmetric cross-validation. Bailey, Borwein, Lopez de Prado and Zhu, "The probability of backtest
overfitting" (2017).
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mtquant.types import Float

BLOCKS = 16
"""Blocks the bars are cut into; half of them is in sample: 12 870 ways."""
LEAST_BARS = 4
"""Returns a block needs at least."""


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best of several trials would have been worth."""

    trials: int
    ways: int
    """Splits into equal halves."""
    probability: float
    """Share of the ways in which the best in sample is not above the median out of sample (PBO)."""
    loss: float
    """Share of the ways in which it loses out of sample."""
    slope: float
    """Of its Sharpe ratio out of sample over that in sample: below zero, better in sample is worse afterwards."""


def overfitting(returns: Float, blocks: int = BLOCKS) -> Overfitting:
    """Return PBO of trials with `returns` [T, N] over the same bars; the first T mod `blocks` bars are left out.

    Performance is the Sharpe ratio; a trial without variance has 0. Ties share their rank. Raises `ValueError` for
    fewer than two trials, an odd number of blocks or too few bars.
    """
    bars, trials = returns.shape
    if trials < 2 or blocks % 2 or bars < LEAST_BARS * blocks:
        raise ValueError(
            f"Two trials, an even number of blocks and {LEAST_BARS} bars a block are needed; there are {trials} "
            f"trials, {blocks} blocks and {bars} bars."
        )
    parts = returns[bars % blocks :].reshape(blocks, bars // blocks, trials)
    length = parts.shape[1] * blocks // 2
    first, second = parts.sum(axis=1), (parts * parts).sum(axis=1)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, inside in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, list(inside)] = 1.0
    within = _sharpe(chosen @ first, chosen @ second, length)
    without = _sharpe((1.0 - chosen) @ first, (1.0 - chosen) @ second, length)
    rows = np.arange(len(chosen))
    best = within.argmax(axis=1)
    reached = without[rows, best]
    below = (without < reached[:, None]).sum(axis=1)
    equal = (without == reached[:, None]).sum(axis=1)
    rank = (below + 0.5 * (equal + 1)) / (trials + 1)
    own = within[rows, best]
    spread = float(np.var(own))
    slope = float(np.mean((own - own.mean()) * (reached - reached.mean()))) / spread if spread > 0.0 else math.nan
    return Overfitting(trials, len(chosen), float(np.mean(rank <= 0.5)), float(np.mean(reached < 0.0)), slope)


def _sharpe(total: Float, squares: Float, length: int) -> Float:
    mean = total / length
    variance = np.maximum(squares / length - mean * mean, 0.0)
    # rounding of a constant series must not become a ratio
    real = variance > 1e-12 * squares / length
    out: Float = np.where(real, mean / np.sqrt(np.where(real, variance, 1.0)), 0.0)
    return out
