"""Several seeds of one training: the interquartile mean with its stratified bootstrap interval.

A mean of five seeds is ruled by the worst or the best of them, a median throws most of them away. Agarwal,
Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the edge of the statistical precipice"
(NeurIPS 2021); the numbers are those of their `rliable`.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import trim_mean

from mtquant.evaluation.statistics import LEVEL, Interval
from mtquant.types import Float

SAMPLES = 2000
Aggregate = Callable[[Float], Float]
"""Scores `[..., n]`, all runs and tasks together, to one number each."""


def interquartile_mean(scores: Float) -> Float:
    """Return the mean of the middle half of `scores` along the last axis; NaN without scores.

    A quarter is cut off at each end, rounded down: nothing of fewer than four scores.
    """
    if not np.shape(scores)[-1]:
        return np.full(np.shape(scores)[:-1], np.nan)
    return np.asarray(trim_mean(scores, 0.25, axis=-1))


def stratified_interval(
    scores: Float,
    rng: np.random.Generator,
    *,
    aggregate: Aggregate = interquartile_mean,
    samples: int = SAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Return `aggregate` of `scores` [runs, tasks] with its percentile interval.

    Runs are drawn with replacement within each task (the stratum), tasks stay as they are. NaN ends below two runs
    or where a score is not finite. With three runs or fewer the interval is too narrow by nature: there are ten
    different resamples of three.
    """
    table = np.asarray(scores, dtype=np.float64)
    runs, tasks = table.shape
    value = float(aggregate(table.ravel()))
    if runs < 2 or not np.isfinite(table).all():
        return Interval(value, level=level)
    rows = rng.integers(runs, size=(samples, runs, tasks))
    found = aggregate(np.take_along_axis(table[None], rows, axis=1).reshape(samples, -1))
    edge = (1.0 - level) / 2.0
    low, high = np.quantile(found, [edge, 1.0 - edge])
    return Interval(value, float(low), float(high), level)
