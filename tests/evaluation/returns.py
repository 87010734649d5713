"""Returns with known properties."""

import math

import numpy as np
from scipy.signal import lfilter

from mtquant.types import Float

DAYS = 252
BURN_IN = 500


def garch_returns(
    rng: np.random.Generator, paths: int, days: int, *, sharpe: float = 0.0, persistence: float = 0.1
) -> Float:
    """Return `[paths, days]` AR(1) returns with GARCH(1, 1) volatility (0.08, 0.90) and an annual Sharpe ratio."""
    shocks = rng.standard_normal((paths, days + BURN_IN))
    variance, last = np.ones(paths), np.zeros(paths)
    noise = np.empty_like(shocks)
    for t in range(days + BURN_IN):
        variance = 0.02 + 0.08 * last**2 + 0.90 * variance
        last = np.sqrt(variance) * shocks[:, t]
        noise[:, t] = last
    moved = lfilter([1.0], [1.0, -persistence], noise, axis=1)[:, BURN_IN:]
    deviation = 1.0 / math.sqrt(1.0 - persistence**2)
    out: Float = 0.01 * (moved / deviation + sharpe / math.sqrt(DAYS))
    return out
