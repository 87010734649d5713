"""Theory against play: every known optimum is attained by its policy in the simulator or game."""

import math

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.evaluation.oracles.execution import HOLDINGS, execute, schedule
from mtquant.evaluation.oracles.hidden_regime import constant_value, filter_value
from mtquant.evaluation.oracles.known import KNOWN, Size, standard_errors
from mtquant.evaluation.oracles.noise_free import score_result, share
from mtquant.evaluation.oracles.policies import WARMUP, build_oracle, offered
from mtquant.evaluation.oracles.simulated import simulate
from mtquant.synthetic.almgren_chriss import ExecutionParams, cost_and_variance, objective
from mtquant.synthetic.hidden_regime import DESKS, RegimeParams
from mtquant.synthetic.registry import build_planted, evaluation_paths

ONE = {"train_histories": 1, "validation_histories": 1, "test_histories": 1}


@pytest.mark.parametrize("build", KNOWN, ids=lambda build: getattr(build, "func", build).__name__.strip("_"))
def test_what_is_played_agrees_with_theory(build):
    known = build(Size(paths=24, bars=650))
    assert known.played.known
    # The interval is of known coverage, and 3.5 standard errors over 16 entries fail once in a hundred suites; 1 % of
    # the value is what positions drift with prices between bars, which theory leaves out.
    away = abs(known.played.value - known.value)
    half = (known.played.high - known.played.low) / 2.0
    assert away <= 3.5 / 1.96 * half + 0.01 * abs(known.value)
    assert half < 0.25 * abs(known.value), "an interval this wide would agree with anything"
    assert math.isfinite(standard_errors(known))


@pytest.mark.parametrize(
    ("params", "published"), [({}, 0.0873), ({"accuracy": 0.999999}, 0.0985)], ids=["filter", "full information"]
)
def test_the_filter_earns_what_was_published(params, published):
    # The published figures are of 400k simulated bars.
    assert filter_value(RegimeParams(**params), DESKS) == pytest.approx(published, rel=0.01)


def test_deciding_less_often_costs_and_not_looking_costs_most():
    params = RegimeParams()
    values = [filter_value(params, DESKS, bars) for bars in (1, 2, 5, 10, 20)]
    assert values == sorted(values, reverse=True)
    assert constant_value(params, DESKS) < values[-1]
    assert filter_value(params.model_copy(update={"accuracy": 0.5}), DESKS) == pytest.approx(
        constant_value(params, DESKS), rel=1e-6
    )


@pytest.fixture(scope="module")
def regimes():
    planted = build_planted("hidden-regime", ONE, Streams(5), DESKS)
    return evaluation_paths(planted, Streams(5), 24, 650)


def test_memory_is_what_the_hidden_regimes_pay_for(regimes):
    scores = {
        name: score_result(simulate(build_oracle(name, regimes), regimes, "hidden-regime", WARMUP), regimes.truth)
        for name in offered(regimes)
    }
    order = ["equal", "static", "memoryless", "phase2", "joint", "full-information"]
    values = [scores[name].utility for name in order]
    assert values == sorted(values)
    gain = (scores["memoryless"].utility - scores["static"].utility) / (
        scores["phase2"].utility - scores["static"].utility
    )
    assert gain < 0.80, "an agent without memory must not pass the gate"
    for name in order:
        assert (scores[name].risk > 0).all()


def test_exposures_stay_within_the_caps(regimes):
    result = simulate(build_oracle("full-information", regimes), regimes, "hidden-regime", WARMUP)
    assert result.exposure.min() >= 0.0
    assert result.exposure.max() == pytest.approx(1.0)
    assert result.exposure.sum(axis=2).max() == pytest.approx(1.5)
    assert not result.projection.max() > 1e-9, "the reference asks for nothing that the limits refuse"


def test_ignoring_proportional_costs_fails_the_gate():
    planted = evaluation_paths(build_planted("spread", ONE, Streams(6), DESKS), Streams(6), 24, 650)
    best, blind = (
        score_result(simulate(build_oracle(name, planted), planted, "spread", WARMUP), planted.truth)
        for name in ("phase1", "markowitz")
    )
    assert share(blind, best).high < 0.88


@pytest.mark.parametrize("venues", [(0.01,), (0.015, 0.03), (0.02, 0.04, 0.08)])
@pytest.mark.parametrize("name", HOLDINGS)
def test_schedules_cost_what_the_formula_says(name, venues):
    params = ExecutionParams(venue_impact=venues)
    done = execute(schedule(name, params), params, 20_000, Streams(7).rng("prices"))
    assert done.utility.value == pytest.approx(-objective(params, HOLDINGS[name](params)), rel=1e-9)
    cost, variance = cost_and_variance(params, HOLDINGS[name](params))
    total = done.cost + done.noise
    assert total.mean() == pytest.approx(cost, abs=4 * np.sqrt(variance / len(total)) + 1e-12)
    # The variance of a variance of normal numbers: 2 / n.
    assert total.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / len(total)), abs=1e-15)
