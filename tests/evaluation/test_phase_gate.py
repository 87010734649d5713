"""The gate between phases: what adds nothing is promoted no more often than stated, what adds something is found."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.evaluation.content import Promotion
from mtquant.evaluation.days import paired_gains
from mtquant.evaluation.series import Days

DAYS, PASSES, YEAR, UNIT_RISK = 250, 4, 260.0, 0.006
NOMINAL = 0.025
"""A 95 % interval lies above zero in this share of cases where nothing was gained."""


def days(utility):
    """Return days [PASSES, DAYS] whose utility is the return in units of risk."""
    return Days([UNIT_RISK * u for u in utility], list(utility), [], YEAR)


def persistent(rng, memory):
    """Return noise [PASSES, DAYS] of unit variance that lasts as positions do."""
    out = rng.standard_normal((PASSES, DAYS))
    for t in range(1, DAYS):
        out[:, t] = memory * out[:, t - 1] + np.sqrt(1.0 - memory**2) * out[:, t]
    return out


def earned(gain, memory, trials):
    """Return the share of trials in which a phase that adds `gain` a day to 0.5 units of other noise is promoted."""
    rng = Streams(11).rng("phase gate")
    count = 0
    for _ in range(trials):
        before = 0.1 + persistent(rng, 0.0)
        after = before + gain + 0.5 * persistent(rng, memory)
        found = paired_gains(days(after), days(before), UNIT_RISK, 0.0, rng, samples=100)
        count += Promotion("Phase 3", "Phase 2", *found).earned
    return count / trials


@pytest.mark.parametrize(
    ("memory", "trials"), [(0.6, 60), *(pytest.param(m, 400, marks=pytest.mark.slow) for m in (0.0, 0.3, 0.6))]
)
def test_a_phase_that_adds_nothing_is_promoted_as_rarely_as_stated(memory, trials):
    share = earned(0.0, memory, trials)
    error = np.sqrt(NOMINAL * (1.0 - NOMINAL) / trials)
    assert share <= NOMINAL + 3.0 * error, f"{share:.3f}"


def test_a_phase_that_adds_something_is_promoted():
    # Five standard errors of the mean difference: 0.5 / sqrt(1000).
    assert earned(5.0 * 0.5 / np.sqrt(PASSES * DAYS), 0.0, trials=30) > 0.9


def test_a_phase_that_changes_nothing_is_never_promoted():
    before = days(0.5 + persistent(Streams(3).rng("same"), 0.0))
    gain, sharpe_gain = paired_gains(before, before, UNIT_RISK, 0.0, Streams(4).rng("draws"), samples=200)
    assert (gain.value, sharpe_gain.value) == (0.0, 0.0)
    assert not Promotion("Phase 3", "Phase 2", gain, sharpe_gain).earned
