"""Whether a Sharpe ratio is more than luck: its probability, what a search has to beat, how long a record has to be.

`sharpe` and `benchmark` are per observation (not annualised), `kurtosis` is raw (3 for a normal law). Bailey and
Lopez de Prado, "The Sharpe ratio efficient frontier" (2012) and "The deflated Sharpe ratio" (2014); Lo, "The
statistics of Sharpe ratios" (2002).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import norm

from mtquant import metrics
from mtquant.evaluation.dependence import autocorrelation, bandwidth, sharpe_error
from mtquant.types import Float

CONFIDENCE = 0.95
"""Probability from which a Sharpe ratio counts as skill."""
FEW_TRIALS = 10
"""Trials below which the spread of their Sharpe ratios is not estimated but taken from the null hypothesis."""


def sharpe_variance(sharpe: float, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """Return the variance of sqrt(T) times an estimated Sharpe ratio of independent returns. Mertens (2002)."""
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2


def probabilistic_sharpe(
    sharpe: float, benchmark: float, observations: int, *, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark`; NaN below two observations."""
    if observations < 2:
        return math.nan
    error = math.sqrt(sharpe_variance(sharpe, skew, kurtosis) / (observations - 1))
    return float(norm.cdf((sharpe - benchmark) / error))


def expected_maximum(trials: int, deviation: float = 1.0) -> float:
    """Return about the largest of `trials` independent Sharpe ratios without skill whose deviation is `deviation`.

    0 for one trial: its expected value.
    """
    if trials < 1:
        raise ValueError(f"A result has at least one trial; {trials} were given.")
    if trials == 1:
        return 0.0
    first, second = norm.isf(1.0 / trials), norm.isf(1.0 / (trials * math.e))
    return deviation * float((1.0 - np.euler_gamma) * first + np.euler_gamma * second)


def deflated_sharpe(
    sharpe: float, observations: int, trials: int, deviation: float, *, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return the probability that the best of `trials` is above what luck alone would have made the best.

    `deviation` is the standard deviation of the trials' Sharpe ratios, per observation like `sharpe`.
    """
    luck = expected_maximum(trials, deviation)
    return probabilistic_sharpe(sharpe, luck, observations, skew=skew, kurtosis=kurtosis)


def minimum_track_record(
    sharpe: float, benchmark: float = 0.0, *, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = CONFIDENCE
) -> float:
    """Return how many observations show a Sharpe ratio above `benchmark`; infinite where it is not above."""
    if not sharpe > benchmark:
        return math.nan if math.isnan(sharpe) else math.inf
    z = float(norm.ppf(confidence))
    return 1.0 + sharpe_variance(sharpe, skew, kurtosis) * (z / (sharpe - benchmark)) ** 2


def annualised_sharpe(sharpe: float, correlations: Float, periods: int) -> float:
    """Return the Sharpe ratio over `periods` observations with autocorrelations `correlations` (lags 1, 2, ...).

    Lags that are not given count as zero; NaN where the variance of the sum would not be above zero. Lo (2002).
    """
    lags = np.arange(1, min(len(correlations), periods - 1) + 1)
    variance = periods + 2.0 * float(np.sum((periods - lags) * correlations[: len(lags)]))
    return sharpe * periods / math.sqrt(variance) if variance > 0.0 else math.nan


class Finding(StrEnum):
    """What a net Sharpe ratio out of sample says."""

    SKILL = "skill"
    NONE = "no evidence of skill"
    UNKNOWN = "too little was observed"


@dataclass(frozen=True)
class Skill:
    """A Sharpe ratio judged against luck and search. Annualised where a year is named, else probabilities."""

    sharpe: float
    """Annualised by the square root of time."""
    error: float
    """Standard error of it, for dependent returns."""
    annualised: float
    """Over a year of dependent returns (Lo, 2002)."""
    probability: float
    """That the true Sharpe ratio is above zero (PSR)."""
    trials: int
    """Configurations, seeds and re-runs that were measured on these bars, this one included."""
    luck: float
    """What the best of so many trials without skill has on average, annualised."""
    deflated: float
    """Probability that the true Sharpe ratio is above that (DSR)."""
    years_needed: float
    """Track record that such a Sharpe ratio needs to be told from zero, years."""
    trials_endured: float
    """Trials from which on the finding would no longer be skill; 0 where it is none."""

    @property
    def finding(self) -> Finding:
        """The verdict: skill from a deflated probability of 95 % on."""
        if math.isnan(self.deflated):
            return Finding.UNKNOWN
        return Finding.SKILL if self.deflated >= CONFIDENCE else Finding.NONE


def judge_skill(
    passes: Sequence[Float], per_year: float, *, others: Sequence[float] = (), unlisted: int = 0, free: float = 0.0
) -> Skill:
    """Return what daily returns `[D_n]` of independent passes say about skill.

    `others` are the annualised Sharpe ratios of other trials on the same bars, `unlisted` counts those whose ratio is
    not known, `free` is the annual rate that is subtracted. Below `FEW_TRIALS` their spread is
    too uncertain and that of chance is used, which is the standard error. The error allows for dependence and for
    skew and kurtosis; for independent returns all figures are the published ones. NaN where there are too few returns
    or no variance.
    """
    kept = [np.asarray(p, dtype=np.float64)[:, None] - free / per_year for p in passes if len(p)]
    trials = len(others) + 1 + unlisted
    days = sum(len(p) for p in kept)
    sharpe = float(metrics.sharpe(np.concatenate(kept), per_year)[0]) if days else math.nan
    error = float(sharpe_error(kept, per_year)[0]) if math.isfinite(sharpe) else math.nan
    if not error > 0.0:
        return Skill(sharpe, math.nan, math.nan, math.nan, trials, math.nan, math.nan, math.nan, math.nan)
    deviation = float(np.std([sharpe, *others], ddof=1)) if len(others) + 1 >= FEW_TRIALS else error
    luck = expected_maximum(trials, deviation)
    z = float(norm.ppf(CONFIDENCE))
    correlations = autocorrelation([p[:, 0] for p in kept], bandwidth(days))
    return Skill(
        sharpe=sharpe,
        error=error,
        annualised=annualised_sharpe(sharpe / math.sqrt(per_year), correlations, round(per_year)),
        probability=float(norm.cdf(sharpe / error)),
        trials=trials,
        luck=luck,
        deflated=float(norm.cdf((sharpe - luck) / error)),
        years_needed=days / per_year * (z * error / sharpe) ** 2 if sharpe > 0.0 else math.inf,
        trials_endured=_endured(sharpe - z * error, deviation),
    )


def _endured(margin: float, deviation: float) -> float:
    """Return the largest number of trials whose expected maximum stays below `margin`."""
    if margin < 0.0:
        return 0.0
    if not expected_maximum(2, deviation) <= margin:
        return 1.0
    low, high = 2, 4
    while expected_maximum(high, deviation) <= margin:
        if high > 10**12:
            return math.inf
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if expected_maximum(middle, deviation) <= margin else (low, middle)
    return float(low)
