"""Standard errors of means and Sharpe ratios of dependent returns.

Daily returns of a trading policy are autocorrelated and their volatility clusters. The variance of an average is then
that of independent returns times a factor, which is estimated here: prewhitened, kernel-weighted autocovariances
(Andrews and Monahan, 1992; Bartlett weights and bandwidth of Newey and West, 1987 and 1994).
"""

import math
from collections.abc import Sequence

import numpy as np

from mtquant import metrics
from mtquant.types import Float

LARGEST_COEFFICIENT = 0.97
"""Bound of the prewhitening coefficient: near one the variance of a mean does not exist."""


def bandwidth(length: int) -> int:
    """Return the number of autocovariances to use of a series of `length`: 4 (length / 100)^(2/9), rounded down."""
    return max(1, min(int(4.0 * (length / 100.0) ** (2.0 / 9.0)), length - 2))


def long_run_variance(series: Float) -> Float:
    """Return `[C]` the variance of sqrt(S) times the mean of each column of `series` [S, C]; NaN below four rows.

    0 for a constant column, never negative.
    """
    if len(series) < 4:
        return np.full(series.shape[1:], np.nan)
    # Time last: sums along contiguous memory are several times as fast, and resamples ask for thousands of them.
    rows = np.ascontiguousarray(series.T)
    centred = rows - rows.mean(axis=1, keepdims=True)
    size = _product(centred, centred)
    varies = size > 0.0
    coefficient = np.where(varies, _product(centred[:, 1:], centred[:, :-1]) / np.where(varies, size, 1.0), 0.0)
    coefficient = np.clip(coefficient, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)
    rest = centred[:, 1:] - coefficient[:, None] * centred[:, :-1]
    rest -= rest.mean(axis=1, keepdims=True)
    count, lags = rest.shape[1], bandwidth(len(series))
    total = _product(rest, rest) / count
    for lag in range(1, lags + 1):
        weight = 2.0 * (1.0 - lag / (lags + 1.0))
        total += weight * _product(rest[:, lag:], rest[:, :-lag]) / count
    out: Float = np.maximum(total, 0.0) / (1.0 - coefficient) ** 2
    return out


def _product(one: Float, other: Float) -> Float:
    out: Float = np.einsum("cs,cs->c", one, other)
    return out


def mean_error(passes: Sequence[Float]) -> Float:
    """Return `[C]` the standard error of the pooled mean of independent passes `[S_n, C]`; NaN where one is too short.

    Parallel passes are independent of each other; days of one pass are not.
    """
    length = sum(len(p) for p in passes)
    total = sum((len(p) * long_run_variance(p) for p in passes), start=np.zeros(passes[0].shape[1:]))
    out: Float = np.sqrt(total) / length
    return out


def sharpe_influence(passes: Sequence[Float]) -> list[Float]:
    """Return what each return of `passes` [S_n, C] adds to the pooled Sharpe ratio per bar, to first order.

    z - SR (z^2 - 1) / 2 with z the standardised return; NaN without variance. Its variance for independent returns is
    that of Mertens (2002): 1 - skew SR + (kurtosis - 1) SR^2 / 4.
    """
    pooled = np.concatenate(passes)
    mean, spread = pooled.mean(axis=0), pooled.std(axis=0)
    usable = spread > metrics.ROUNDING * np.abs(pooled).max(axis=0)
    spread = np.where(usable, spread, np.nan)
    out = []
    for returns in passes:
        z = (returns - mean) / spread
        out.append(z - 0.5 * (mean / spread) * (z * z - 1.0))
    return out


def sharpe_error(passes: Sequence[Float], per_year: float) -> Float:
    """Return `[C]` the standard error of the annualised Sharpe ratio of pooled, dependent returns `[S_n, C]`."""
    out: Float = mean_error(sharpe_influence(passes)) * math.sqrt(per_year)
    return out


def autocorrelation(passes: Sequence[Float], lags: int) -> Float:
    """Return `[lags]` the autocorrelations at lags 1, 2, ... of passes `[S_n]`; products never span two passes."""
    pooled = np.concatenate(passes)
    mean = pooled.mean()
    variance = float(np.mean((pooled - mean) ** 2))
    if variance == 0.0:
        return np.full(lags, np.nan)
    centred = [p - mean for p in passes]
    sums = [sum(float(np.sum(c[lag:] * c[:-lag])) for c in centred if len(c) > lag) for lag in range(1, lags + 1)]
    out: Float = np.array(sums) / (len(pooled) * variance)
    return out
