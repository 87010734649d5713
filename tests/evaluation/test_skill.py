"""Skill and luck: worked examples of the papers, size and power by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mtquant.context import Streams
from mtquant.evaluation.skill import (
    Finding,
    annualised_sharpe,
    deflated_sharpe,
    expected_maximum,
    judge_skill,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_variance,
)
from tests.evaluation.returns import DAYS, garch_returns


def test_the_worked_example_of_the_deflated_sharpe_ratio():
    """Bailey and Lopez de Prado (2014): 2.5 a year on 1250 days, best of 100 whose ratios have a variance of 1/2."""
    sharpe, deviation = 2.5 / math.sqrt(250), math.sqrt(0.5 / 250)
    assert expected_maximum(100, deviation) == pytest.approx(0.1132, abs=5e-5)
    crooked = {"skew": -3.0, "kurtosis": 10.0}
    assert deflated_sharpe(sharpe, 1250, 100, deviation, **crooked) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(sharpe, 1250, 46, deviation, **crooked) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(sharpe, 1250, 88, deviation) == pytest.approx(0.9505, abs=1e-4)


def test_the_worked_example_of_the_probabilistic_sharpe_ratio():
    """Bailey and Lopez de Prado (2012): two years of a hedge fund's months, 0.458 a month."""
    assert probabilistic_sharpe(0.458, 0.0, 24) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(0.458, 0.0, 24, skew=-2.448, kurtosis=10.164) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("periods", "shape", "years"),
    [(250, {}, 2.73), (52, {}, 2.83), (12, {}, 3.24), (12, {"skew": -0.72, "kurtosis": 5.78}, 4.99)],
)
def test_the_published_track_records(periods, shape, years):
    """Bailey and Lopez de Prado (2012): years until 2 a year is told from 1 at 95 %, by days, weeks and months."""
    root = math.sqrt(periods)
    assert minimum_track_record(2.0 / root, 1.0 / root, **shape) / periods == pytest.approx(years, abs=0.005)


@pytest.mark.parametrize(("persistence", "scale"), [(-0.2, 4.17), (0.0, 3.46), (0.2, 2.88)])
def test_the_published_annualisation_of_months(persistence, scale):
    """Lo (2002), scale factors of first-order autoregressive monthly returns."""
    assert annualised_sharpe(1.0, persistence ** np.arange(1, 12), 12) == pytest.approx(scale, abs=0.005)


@pytest.mark.parametrize(("trials", "largest"), [(10, 0.70), (100, 1.13), (1000, 1.46)])
def test_five_years_of_luck(trials, largest):
    assert expected_maximum(trials, 1.0 / math.sqrt(5.0)) == pytest.approx(largest, abs=0.005)


def test_the_expected_maximum_is_one():
    draws = np.random.default_rng(0).standard_normal((20_000, 50)).max(axis=1)
    assert expected_maximum(50) == pytest.approx(draws.mean(), abs=0.05)
    assert expected_maximum(1) == 0.0
    with pytest.raises(ValueError, match="at least one"):
        expected_maximum(0)


@given(st.floats(0.01, 0.3), st.floats(-2.0, 1.0), st.floats(4.0, 12.0), st.floats(0.6, 0.99))
def test_the_track_record_inverts_the_probability(sharpe, skew, kurtosis, confidence):
    days = minimum_track_record(sharpe, skew=skew, kurtosis=kurtosis, confidence=confidence)
    error = math.sqrt(sharpe_variance(sharpe, skew, kurtosis) / (days - 1))
    assert norm.cdf(sharpe / error) == pytest.approx(confidence)


def test_no_track_record_is_long_enough_for_nothing():
    assert minimum_track_record(0.0) == math.inf
    assert math.isnan(minimum_track_record(math.nan))
    assert math.isnan(probabilistic_sharpe(0.1, 0.0, 1))
    assert math.isnan(annualised_sharpe(1.0, np.array([-1.0]), 12))


def test_independent_returns_have_the_published_probabilities():
    returns = np.random.default_rng(1).standard_normal(20_000) + 0.01
    found = judge_skill([returns], DAYS)
    sharpe = found.sharpe / math.sqrt(DAYS)
    assert found.probability == pytest.approx(probabilistic_sharpe(sharpe, 0.0, len(returns)), abs=0.01)
    needed = minimum_track_record(sharpe) / DAYS
    assert found.years_needed == pytest.approx(needed, rel=0.05)


def test_more_trials_make_luck_likelier():
    returns = np.random.default_rng(2).standard_normal(1250) + 0.12
    alone = judge_skill([returns], DAYS)
    searched = judge_skill([returns], DAYS, others=[0.1] * 4)
    assert alone.finding == Finding.SKILL
    assert searched.deflated < alone.deflated == alone.probability
    assert alone.trials_endured > 1
    edge = round(alone.trials_endured)
    endured = [alone.sharpe - expected_maximum(n, alone.error) >= 1.6448 * alone.error for n in (edge, edge + 1)]
    assert endured == [True, False]


def test_the_spread_of_many_trials_is_their_own():
    returns = np.random.default_rng(3).standard_normal(1250) + 0.05
    alike = judge_skill([returns], DAYS, others=[judge_skill([returns], DAYS).sharpe] * 20)
    assert alike.trials == 21
    assert alike.luck == pytest.approx(0.0, abs=1e-6)


def test_too_little_is_unknown():
    for passes in ([], [np.zeros(0)], [np.ones(2)], [np.zeros(300)]):
        assert judge_skill(passes, DAYS).finding == Finding.UNKNOWN


def shares(sharpe, days, persistence, paths=200):
    source = garch_returns(
        Streams(0).rng("skill", str(sharpe), days), paths, days, sharpe=sharpe, persistence=persistence
    )
    return float(np.mean([judge_skill([path], DAYS).finding == Finding.SKILL for path in source]))


@pytest.mark.parametrize("persistence", [0.0, 0.1, 0.3])
def test_noise_is_rarely_called_skill(persistence):
    """200 strategies without skill, nominal 5 %."""
    assert shares(0.0, 1250, persistence) <= 0.08


@pytest.mark.parametrize("persistence", [0.0, 0.3])
def test_a_planted_sharpe_ratio_of_one_is_found_as_often_as_theory_says(persistence):
    """Ten years; dependence makes them worth (1 - rho) / (1 + rho) of independent ones."""
    years = 10.0 * (1.0 - persistence) / (1.0 + persistence)
    theory = float(norm.cdf(math.sqrt(years) - norm.ppf(0.95)))
    paths = 400
    error = math.sqrt(theory * (1.0 - theory) / paths)
    assert abs(shares(1.0, 2520, persistence, paths) - theory) <= 2.5 * error


def test_the_best_of_a_search_is_rarely_called_skill():
    rng = Streams(0).rng("search")
    called = 0
    for _ in range(200):
        ratios = rng.standard_normal((20, 1250))
        found = [judge_skill([path], DAYS).sharpe for path in ratios]
        best = int(np.argmax(found))
        others = [ratio for index, ratio in enumerate(found) if index != best]
        called += judge_skill([ratios[best]], DAYS, others=others).finding == Finding.SKILL
    assert called / 200 <= 0.05
