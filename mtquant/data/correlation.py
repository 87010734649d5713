"""Correlation of scaled one-bar moves over the train split."""

import numpy as np

from mtquant.errors import DataError
from mtquant.types import Bool, Float

SHRINKAGE = 0.05
"""Fixed share of the identity on real bars (the idea of Ledoit and Wolf, 2004, without their estimate)."""
LEAST_EIGENVALUE = 1e-4
BOUND = 10.0
LEAST_PAIRS = 20


def fit_correlation(eps: Float, used: Bool, symbols: tuple[str, ...], *, planted: bool) -> Float:
    """Return `[K, K]` from moves `eps` [n, K] on bars where both instruments are `used` [n, K]; positive definite.

    Moves are clipped to 10 standard deviations, so that one roll or gap does not decide. Real bars: eigenvalues
    are floored (pairs may come from different bars) and 5 % of the identity mixed in. Planted markets: as measured.
    Raises `DataError` where a pair shares fewer than 20 bars or a planted market's matrix is singular.
    """
    mask = used.astype(np.float64)
    moves = np.clip(eps, -BOUND, BOUND) * mask
    pairs = mask.T @ mask
    if pairs.min() < LEAST_PAIRS:
        i, j = (int(v) for v in np.unravel_index(np.argmin(pairs), pairs.shape))
        raise DataError(
            f"{symbols[i]} and {symbols[j]} share {int(pairs[i, j])} tradable bars of the train split; at least "
            f"{LEAST_PAIRS} are needed for their correlation. Bring overlapping bars or leave one of them out."
        )
    mean = moves.T @ mask / pairs
    variance = np.maximum((moves**2).T @ mask / pairs - mean**2, 0.0)
    size = np.sqrt(variance * variance.T)
    covariance = moves.T @ moves / pairs - mean * mean.T
    correlation = np.where(size > 0, covariance / np.where(size > 0, size, 1.0), 0.0)
    correlation = np.clip((correlation + correlation.T) / 2, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    if planted:
        least = float(np.linalg.eigvalsh(correlation).min())
        if least <= LEAST_EIGENVALUE:
            raise DataError(
                f"The correlation of the planted instruments is singular (smallest eigenvalue {least:.1e}); "
                "change `data.planted`."
            )
        return correlation
    return (1 - SHRINKAGE) * _positive(correlation) + SHRINKAGE * np.eye(len(symbols))


def _positive(correlation: Float) -> Float:
    """Return the matrix with its eigenvalues floored and its diagonal restored to 1."""
    values, vectors = np.linalg.eigh(correlation)
    if values.min() >= LEAST_EIGENVALUE:
        return correlation
    floored = (vectors * np.maximum(values, LEAST_EIGENVALUE)) @ vectors.T
    size = np.sqrt(np.diag(floored))
    out: Float = floored / np.outer(size, size)
    return out
