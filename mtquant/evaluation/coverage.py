"""Whether a forecast value at risk was exceeded as often, and as irregularly, as it says.

Exceedances are 0/1 series, one `[S_n]` per independent pass; transitions are counted within passes only. Few
exceedances are as wrong as many. The chi-squared laws hold where many exceedances are expected. Below 250 days at
95 % the tests have little power. Independence counts exceedances that follow one another, of which 1000 days at
95 % have two or three: there it is rejected in 8 to 9 % of right forecasts at a nominal 5 %, near 5 % from 10 000 on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import binom, chi2

from mtquant import metrics
from mtquant.types import Array

YELLOW, RED = 0.95, 0.9999
"""Probabilities of fewer exceedances at which the zones begin. Basel Committee on Banking Supervision (1996)."""


@dataclass(frozen=True)
class LikelihoodRatio:
    """A statistic with its p-value; both NaN where there was nothing to test."""

    statistic: float
    degrees: int
    """Degrees of freedom of its chi-squared law."""

    @property
    def p(self) -> float:
        """Probability of a larger statistic where the forecast is right."""
        return float(chi2.sf(self.statistic, self.degrees))


class Zone(StrEnum):
    """The traffic light."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


def unconditional_coverage(passes: Sequence[Array], expected: float) -> LikelihoodRatio:
    """Test that the share of exceedances is `expected`. Kupiec (1995)."""
    counts = [int(np.sum(p)) for p in passes]
    return LikelihoodRatio(metrics.kupiec_ratio(sum(counts), sum(len(p) for p in passes), expected), 1)


def independence(passes: Sequence[Array]) -> LikelihoodRatio:
    """Test that an exceedance says nothing about the next day. Christoffersen (1998)."""
    (calm, after_calm), (hit, after_hit) = _transitions(passes)
    trials, exceeded = calm + hit, after_calm + after_hit
    if not trials:
        return LikelihoodRatio(math.nan, 1)
    apart = _best(after_calm, calm) + _best(after_hit, hit)
    return LikelihoodRatio(max(2.0 * (apart - _best(exceeded, trials)), 0.0), 1)


def conditional_coverage(passes: Sequence[Array], expected: float) -> LikelihoodRatio:
    """Test both at once: the sum of the two statistics, as Christoffersen (1998) gives it."""
    both = unconditional_coverage(passes, expected).statistic + independence(passes).statistic
    return LikelihoodRatio(both, 2)


def traffic_light(exceeded: int, trials: int, expected: float) -> Zone:
    """Return the zone of `exceeded` of `trials`; 250 days at 99 %: green to 4, yellow to 9, red from 10."""
    probability = float(binom.cdf(exceeded, trials, expected))
    return Zone.RED if probability >= RED else Zone.YELLOW if probability >= YELLOW else Zone.GREEN


def _transitions(passes: Sequence[Array]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (days after a calm day, exceedances among them) and (days after an exceedance, exceedances among them)."""
    calm = after_calm = hit = after_hit = 0
    for series in (np.asarray(p, dtype=bool) for p in passes):
        before, now = series[:-1], series[1:]
        calm += int((~before).sum())
        after_calm += int((~before & now).sum())
        hit += int(before.sum())
        after_hit += int((before & now).sum())
    return (calm, after_calm), (hit, after_hit)


def _best(successes: int, trials: int) -> float:
    """Return the log-likelihood at the rate that was observed; 0 without trials."""
    return metrics.bernoulli_log_likelihood(successes, trials, successes / trials) if trials else 0.0
