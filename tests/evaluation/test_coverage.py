"""Tests of a forecast value at risk: published numbers, published regions, size by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant import metrics
from mtquant.context import Streams
from mtquant.evaluation.coverage import Zone, conditional_coverage, independence, traffic_light, unconditional_coverage


def series_with(calm, after_calm, hit, after_hit):
    """Return passes of two days each that have these transitions."""
    days = [(0, 1)] * after_calm + [(0, 0)] * (calm - after_calm) + [(1, 1)] * after_hit + [(1, 0)] * (hit - after_hit)
    return [np.array(pair) for pair in days]


def test_the_worked_example_of_a_bank():
    """Jorion, Value at Risk (third edition, chapter 6): J. P. Morgan's 20 exceptions of 252 days in 1998 at 95 %."""
    year = np.zeros(252, dtype=bool)
    year[:20] = True
    assert unconditional_coverage([year], 0.05).statistic == pytest.approx(3.91, abs=0.005)
    clustered = series_with(232, 14, 20, 6)
    assert independence(clustered).statistic == pytest.approx(9.53, abs=0.005)
    # the days themselves are counted twice in pairs, so the sum is put together from its parts
    together = unconditional_coverage([year], 0.05).statistic + independence(clustered).statistic
    assert together == pytest.approx(13.44, abs=0.005)


@pytest.mark.parametrize(
    ("days", "expected", "fewest", "most"),
    [(255, 0.05, 7, 20), (510, 0.05, 17, 35), (1000, 0.05, 38, 64), (255, 0.01, 0, 6), (1000, 0.01, 5, 16)],
)
def test_the_regions_of_kupiec(days, expected, fewest, most):
    """Kupiec (1995), table of non-rejection regions at a test size of 5 %; at 1 % of 255 days zero is on the edge."""
    accepted = [x for x in range(days + 1) if unconditional_coverage([np.arange(days) < x], expected).statistic < 3.841]
    assert accepted[-1] == most
    assert accepted[0] == (fewest if fewest else 1)


@pytest.mark.parametrize(("exceeded", "zone"), [(0, "green"), (4, "green"), (5, "yellow"), (9, "yellow"), (10, "red")])
def test_the_traffic_light_of_basel(exceeded, zone):
    assert traffic_light(exceeded, 250, 0.01) == Zone(zone)


@given(st.lists(st.booleans(), min_size=30, max_size=80), st.floats(0.01, 0.2))
def test_the_parts_add_up(days, expected):
    series = [np.array(days)]
    one, two = unconditional_coverage(series, expected), independence(series)
    both = conditional_coverage(series, expected)
    assert both.statistic == pytest.approx(one.statistic + two.statistic)
    assert one.p == pytest.approx(metrics.kupiec(sum(days), len(days), expected))
    assert one.statistic >= 0.0 and two.statistic >= 0.0


def test_passes_are_not_joined():
    """An exceedance at the end of one pass says nothing about the first day of the next."""
    apart = [np.array([0] * 20 + [1]), np.array([1] + [0] * 20)]
    joined = [np.concatenate(apart)]
    assert independence(apart).statistic < 0.5 < 3.8 < independence(joined).statistic


def test_nothing_to_test_is_nan():
    assert math.isnan(conditional_coverage([], 0.05).p)
    assert math.isnan(independence([np.array([1])]).p)


TESTS = {
    "unconditional": lambda hits: unconditional_coverage(hits, 0.05),
    "independence": independence,
    "conditional": lambda hits: conditional_coverage(hits, 0.05),
}


def rejected(test, days, trials):
    """Return the shares of right forecasts that are rejected at 1, 5 and 10 %."""
    rng = Streams(0).rng("coverage", days)
    p = np.array([TESTS[test]([rng.random(days) < 0.05]).p for _ in range(trials)])
    return [float(np.mean(p < size)) for size in (0.01, 0.05, 0.10)]


@pytest.mark.parametrize("test", TESTS)
def test_a_right_forecast_is_rejected_at_the_nominal_rate(test):
    found = rejected(test, 10_000, 1500)
    for share, size in zip(found, (0.01, 0.05, 0.10), strict=True):
        assert share == pytest.approx(size, abs=4.0 * math.sqrt(size / 1500))


def test_a_thousand_days_are_few_for_independence():
    """What the module says of short samples."""
    assert 0.07 < rejected("independence", 1000, 1500)[1] < 0.10
    assert 0.04 < rejected("unconditional", 1000, 1500)[1] < 0.07


def test_too_little_risk_and_clusters_are_found():
    rng = Streams(2).rng("power")
    understated = [rng.random(1000) < 0.08]
    assert unconditional_coverage(understated, 0.05).p < 0.01
    hits = np.zeros(5000, dtype=bool)
    for t in range(1, 5000):
        hits[t] = rng.random() < (0.3 if hits[t - 1] else 0.037)
    assert independence([hits]).p < 1e-6
