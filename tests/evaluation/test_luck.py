"""Random policies side by side: the same as one by one, and a percentile that means something."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mtquant import metrics
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.data.splits import Split
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.envs.scenario import Scenario
from mtquant.evaluation import luck
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.baselines import BaselineSetting, equal_weight, random
from mtquant.evaluation.luck import SideBySide, judge_luck, random_sharpes
from mtquant.evaluation.series import Measuring, by_day, common_clock
from tests.tiny import tiny_dataset, tiny_spec

SPLIT = Split("test", ((300, 400), (520, 640)))


def table_of(seed=0, bars=1000):
    dataset = tiny_dataset(bars=bars)
    setting = BaselineSetting(dataset, dataset.market.symbols, SPLIT, turnover=0.3, rng=Streams(seed).rng("random"))
    return dataset, tiny_spec(limits=LimitsSpec(stop_loss="off")), setting


def test_conditions_are_runs_side_by_side():
    dataset, spec, setting = table_of()
    game, act = PortfolioGame(dataset, spec), {AGENT: equal_weight(setting)}
    conditions = (Scenario(), Scenario(cost_scale=3.0), Scenario(volatility_scale=2.0))
    together = backtest(game, SPLIT, act, "all", conditions=conditions)
    for number, condition in enumerate(conditions):
        alone = backtest(game, SPLIT, act, "one", conditions=(condition,))
        for field in ("equity", "gross", "cost", "exposure", "projection"):
            np.testing.assert_array_equal(
                getattr(together, field)[:, 2 * number : 2 * number + 2], getattr(alone, field)
            )


def test_policies_side_by_side_are_policies_one_by_one(monkeypatch):
    dataset, spec, setting = table_of()
    game = PortfolioGame(dataset, spec)
    measuring = Measuring(dataset.correlation, game.unit_risk)
    many = random_sharpes(game, SPLIT, setting, measuring, 5)
    monkeypatch.setattr(luck, "NUMBERS", 1)
    few = random_sharpes(game, SPLIT, replace(setting, rng=Streams(0).rng("random")), measuring, 5)
    np.testing.assert_array_equal(many, few)
    assert len(set(many)) == 5
    for seed, sharpe in zip(Streams(0).rng("random").integers(2**63, size=5), many, strict=True):
        policy = random(replace(setting, rng=np.random.default_rng(seed)))
        alone = backtest(game, SPLIT, {AGENT: policy}, "one")
        days = by_day(alone, common_clock([alone]), measuring)
        assert sharpe == metrics.sharpe(np.concatenate(days.returns), days.per_year, measuring.risk_free_rate)


def test_a_table_is_looked_up_by_row_and_bar():
    tables = np.arange(2 * 5 * 3, dtype=float).reshape(2, 5, 3)
    bars = np.array([[4.0, 9, 9, 9], [1.0, 9, 9, 9], [0.0, 9, 9, 9], [2.0, 9, 9, 9]])
    found = SideBySide(tables, np.arange(5))(bars)
    np.testing.assert_array_equal(SideBySide(tables[:1, 1:3], np.array([0, 0, 1]))(bars[3:]), tables[:1, 2])
    np.testing.assert_array_equal(found, [tables[0, 4], tables[0, 1], tables[1, 0], tables[1, 2]])


def test_a_random_policy_is_in_the_middle_of_its_like():
    dataset, spec, setting = table_of()
    game = PortfolioGame(dataset, spec)
    sharpes = random_sharpes(game, SPLIT, setting, Measuring(dataset.correlation, game.unit_risk), 60)
    one = random(replace(setting, rng=Streams(9).rng("random")))
    assert backtest(game, SPLIT, {AGENT: one}, "one").alive.any()
    found = judge_luck(float(np.median(sharpes)), sharpes)
    assert found.percentile == pytest.approx(0.5, abs=0.02)
    assert judge_luck(found.needed + 1e-9, sharpes).percentile >= 0.95
    assert judge_luck(-99.0, sharpes).percentile == 0.0


def test_nothing_to_compare_with():
    assert judge_luck(1.0, np.empty(0)) is None
    assert math.isnan(judge_luck(math.nan, np.zeros(3)).percentile)
    assert judge_luck(0.5, np.array([np.nan, 1.0])).percentile == 0.5
