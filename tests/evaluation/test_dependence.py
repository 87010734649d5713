"""Standard errors of dependent returns: against simulation, closed forms and the published error of Sharpe ratios."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant import metrics
from mtquant.evaluation.dependence import (
    autocorrelation,
    bandwidth,
    long_run_variance,
    mean_error,
    sharpe_error,
    sharpe_influence,
)
from mtquant.evaluation.statistics import sharpe_interval
from tests.evaluation.returns import DAYS, garch_returns


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("persistence", [0.0, 0.3, -0.3, 0.6])
def test_the_variance_of_a_mean_of_autoregressive_numbers(persistence):
    """Closed form: the variance of the shocks over (1 - persistence)^2."""
    source = garch_returns(rng(), 200, 2000, persistence=persistence)
    found = long_run_variance(source.T).mean()
    expected = 0.01**2 * (1.0 + persistence) / (1.0 - persistence)
    assert found == pytest.approx(expected, rel=0.05)


def test_a_sharpe_ratio_strays_as_far_as_its_error_says():
    source = garch_returns(rng(1), 2000, 1250, sharpe=1.0, persistence=0.3)
    ratios = metrics.sharpe(source.T, DAYS)
    errors = sharpe_error([source.T], DAYS)
    assert float(errors.mean()) == pytest.approx(float(np.std(ratios)), rel=0.05)
    covered = np.abs(ratios - 1.0) <= 1.96 * errors
    assert 0.93 <= covered.mean() <= 0.97


def test_independent_returns_have_the_published_error():
    """The influence of a return has the variance of Mertens (2002)."""
    returns = rng(2).standard_t(6, size=(4000, 1)) + 0.1
    own = float(np.var(sharpe_influence([returns])[0])) / (len(returns) - 1)
    published = float(metrics.sharpe_standard_error(returns, 1.0)[0])
    assert math.sqrt(own) == pytest.approx(published, rel=1e-3)
    assert sharpe_error([returns], 1.0)[0] == pytest.approx(published, rel=0.1)


@given(st.integers(5, 300), st.integers(1, 3), st.floats(0.1, 50.0))
@settings(max_examples=40, deadline=None)
def test_variances_scale_and_never_fall_below_zero(length, columns, factor):
    series = rng(length).standard_normal((length, columns))
    assert np.all(long_run_variance(series) >= 0.0)
    np.testing.assert_allclose(long_run_variance(factor * series + 3.0), factor**2 * long_run_variance(series))
    assert 1 <= bandwidth(length) < length


def test_passes_are_independent_of_each_other():
    series = np.cumsum(rng(3).standard_normal((200, 1)), axis=0)
    apart, joined = mean_error([series[:100], series[100:]]), mean_error([series])
    assert joined[0] > apart[0]
    expected = np.sqrt(100 * long_run_variance(series[:100]) + 100 * long_run_variance(series[100:])) / 200
    np.testing.assert_allclose(apart, expected)


def test_nothing_to_measure():
    assert np.isnan(long_run_variance(np.zeros((3, 1)))).all()
    assert (long_run_variance(np.ones((50, 1))) == 0.0).all()
    assert np.isnan(sharpe_error([np.ones((50, 1))], DAYS)).all()


def test_autocorrelations_of_autoregressive_numbers():
    source = garch_returns(rng(4), 1, 40_000, persistence=0.5)[0]
    np.testing.assert_allclose(autocorrelation([source[:20_000], source[20_000:]], 3), [0.5, 0.25, 0.125], atol=0.03)
    assert np.isnan(autocorrelation([np.ones(9)], 2)).all()


def coverage(persistence, days, trials, samples):
    source = garch_returns(rng(5), trials, days, sharpe=1.0, persistence=persistence)
    found = [sharpe_interval([path], DAYS, rng(i), samples=samples) for i, path in enumerate(source)]
    return float(np.mean([interval.covers(1.0) for interval in found]))


def test_intervals_cover_about_as_often_as_they_say():
    assert 0.90 <= coverage(0.1, 500, 100, 200) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("persistence", [0.0, 0.1, 0.3])
def test_intervals_cover_as_often_as_they_say(persistence):
    """Nominal 95 %, five years of days; 1000 intervals have a standard error of 0.7 %."""
    assert 0.93 <= coverage(persistence, 1250, 1000, 400) <= 0.97
