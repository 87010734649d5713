"""A planted market brings the payment, the costs and the limits that its optimum refers to."""

import pytest

from mtquant.config.load import load_pipeline
from mtquant.context import Streams
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.errors import ConfigError
from mtquant.execution.preparation import record_run
from mtquant.execution.sources import open_source
from mtquant.sim.costs import cost_table
from mtquant.synthetic import SYNTHETIC, build_planted, planted_params
from mtquant.synthetic.factors import FactorParams
from mtquant.synthetic.settings import with_objective

FEW = ("data.planted.train_histories=1", "data.planted.validation_histories=1", "data.planted.test_histories=1")


def settings(*changes):
    return load_pipeline("default", None, changes)


@pytest.mark.parametrize("market", sorted(SYNTHETIC))
def test_agents_are_paid_and_charged_what_the_optimum_is(market):
    spec = with_objective(settings(f"data.source={market}", *FEW))
    planted = build_planted(market, spec.data.planted, Streams(0))
    dataset = open_source(spec).dataset(spec)
    unit_risk = spec.environment.target_volatility * dataset.unit_risk
    assert unit_risk == pytest.approx(planted.objective.unit_risk, rel=1e-12)
    for phase in (spec.phase1, spec.phase2, spec.phase3):
        assert phase.reward.risk_aversion * unit_risk == pytest.approx(planted.objective.g, rel=1e-12)
    charged = cost_table(spec.environment, spec.catalogue, dataset.market.symbols, planted=True)
    assert charged.impact == pytest.approx(planted.objective.impact, rel=1e-12)
    # Proportional costs: a unit of exposure is worth u0 over its volatility in notional, and costs c u0.
    assert charged.linear / planted.truth.volatility == pytest.approx(planted.objective.spread, rel=1e-12)
    assert not charged.financing_long.any() and not charged.financing_short.any()


def test_an_unlimited_optimum_is_played_without_limits_and_with_room():
    spec = with_objective(settings("data.source=gp-easy", *FEW))
    assert not spec.limits.enabled
    game = SpecialistGame(open_source(spec).dataset(spec), spec, "forex")
    assert game.range == planted_params("gp-easy", {}).objective.action_range


def test_the_caps_of_the_hidden_regimes_are_the_accounts():
    spec = with_objective(settings("data.source=hidden-regime", *FEW))
    params = planted_params("hidden-regime", {})
    assert spec.phase2.budget_limit == params.gross_cap
    assert spec.limits.max_position_size * spec.limits.position_base == params.position_cap
    assert spec.phase1.constant_exposure == 1.0
    assert with_objective(spec) == spec


@pytest.mark.parametrize("source", ["embedded", "folder/of/bars"])
def test_the_defaults_are_those_of_the_embedded_market(source):
    spec = settings(f"data.source={source}")
    assert with_objective(spec) == spec


def test_what_was_stated_otherwise_stands():
    stated = (
        "phase2.reward.risk_aversion=5.0",
        "environment.target_range=1.5",
        "catalogue.instruments.US30.impact=0.1",
    )
    spec = with_objective(settings("data.source=gp-easy", *stated))
    assert spec.phase2.reward.risk_aversion == 5.0
    assert spec.environment.target_range == 1.5
    assert spec.catalogue.instruments["US30"].impact == 0.1
    assert spec.catalogue.instruments["EURUSD"].impact == FactorParams().impact


def test_applying_it_twice_changes_nothing_more():
    once = with_objective(settings("data.source=gp-base", "data.planted.risk_aversion_per_bar=0.2"))
    assert with_objective(once) == once


def test_parameters_of_the_market_reach_payment_and_costs():
    spec = with_objective(settings("data.planted.risk_aversion=10.0", "data.planted.impact=0.4"))
    assert spec.phase3.reward.risk_aversion == 10.0
    assert {one.impact for one in spec.catalogue.instruments.values()} == {0.4}


def test_unknown_parameters_of_a_market_are_refused():
    with pytest.raises(ConfigError, match="impcat"):
        with_objective(settings("data.source=gp-easy", "data.planted.impcat=1.0"))


def test_a_recorded_run_has_them(tmp_path):
    record = record_run(tmp_path, settings("data.source=gp-easy"), ["train"], "direct")
    assert record.config["limits"]["enabled"] is False
