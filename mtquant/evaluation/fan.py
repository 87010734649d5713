"""What a track record could have become: quantiles of equity over resampled days."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import StationaryBootstrap

from mtquant.evaluation.statistics import FEWEST, block_length
from mtquant.types import Float

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
POINTS = 60


@dataclass(frozen=True)
class Fan:
    """Quantiles of resampled equity, all passes strung together."""

    day: list[int]
    """Days of the record after which equity is given."""
    quantiles: dict[str, list[float]]
    """Quantile to equity over initial capital."""
    own: list[float]
    """What it did become."""


def equity_fan(passes: Sequence[Float], rng: np.random.Generator, *, samples: int) -> Fan | None:
    """Return the fan of daily returns `[D_n]`; None below 20 days. Stationary block bootstrap."""
    returns = np.concatenate(passes) if passes else np.empty(0)
    if len(returns) < FEWEST:
        return None
    length = block_length([returns[:, None]])
    resampler = StationaryBootstrap(length, returns, seed=np.random.default_rng(rng.integers(2**63)))
    at = np.unique(np.linspace(1, len(returns), min(POINTS, len(returns))).astype(int))
    drawn = np.array([np.cumprod(np.maximum(1.0 + data[0][0], 0.0))[at - 1] for data in resampler.bootstrap(samples)])
    found = np.quantile(drawn, QUANTILES, axis=0)
    own = np.cumprod(np.maximum(1.0 + returns, 0.0))[at - 1]
    return Fan(at.tolist(), {f"{q:g}": row.tolist() for q, row in zip(QUANTILES, found, strict=True)}, own.tolist())
