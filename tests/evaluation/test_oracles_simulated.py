"""The simulator against the frictionless rollout: same references, same paths, independent accounting."""

import numpy as np
import pytest

from mtquant.config.agents import EnvironmentSpec, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.oracles.books import follow
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, score_book, score_result, share
from mtquant.evaluation.oracles.policies import PartialAdjustment, build_oracle
from mtquant.evaluation.result import BacktestResult
from mtquant.synthetic import Planted
from mtquant.synthetic.catalogue import CATALOGUE, SYMBOLS
from mtquant.synthetic.embedded import EmbeddedParams, generate_paths

WARMUP, PATHS, BARS = 150, 24, 650


@pytest.fixture(scope="module")
def paths() -> Planted:
    return generate_paths(EmbeddedParams(), Streams(31), PATHS, BARS)


def simulate(policy: PartialAdjustment, planted: Planted) -> BacktestResult:
    """Play every path once, with the planted costs and without limits."""
    catalogue = {s: InstrumentSpec(group=i.group, half_spread_bps=0.0) for s, i in CATALOGUE.items()}
    spec = PipelineSpec(
        catalogue=InstrumentsSpec(instruments=catalogue),
        environment=EnvironmentSpec(instruments=SYMBOLS, costs="planted", warmup_steps=WARMUP),
        limits=LimitsSpec(enabled=False),
    )
    market, truth = planted.market, planted.truth
    bars, count = market.close.shape
    dataset = Dataset(
        market,
        planted.splits,
        np.zeros((bars, count, 1), dtype=np.float32),
        ("none",),
        (0,),
        np.zeros(1),
        np.ones(1),
        truth.volatility * market.close,
        truth.correlation,
        np.zeros((bars, 5), dtype=np.float32),
        tuple("abcde"),
        True,
    )
    return backtest(PortfolioGame(dataset, spec), planted.splits.test, {AGENT: policy}, "reference")


def frictionless(policy: PartialAdjustment, planted: Planted) -> NoiseFreeScore:
    return score_book(follow(policy, planted.market, WARMUP), planted.market, planted.truth, WARMUP)


@pytest.mark.parametrize("name", ["equal", "phase2", "joint", "full-information"])
def test_the_simulator_pays_what_the_theory_says(paths, name):
    policy = build_oracle(name, paths)
    result = simulate(policy, paths)
    assert result.bar.shape == (BARS - 1 - WARMUP, PATHS)
    left, right = score_result(result, paths.truth), frictionless(policy, paths)
    # Positions drift with prices between trades, which the theory leaves out: below 1 % of utility.
    assert share(left, right).value == pytest.approx(1.0, abs=0.01)
    assert left.sharpe == pytest.approx(right.sharpe, rel=0.01)


def test_costs_in_the_account_are_those_of_the_score(paths):
    result = simulate(build_oracle("joint", paths), paths)
    unit = result.equity[:-1] * paths.objective.unit_risk
    charged = (result.cost.sum(axis=2) / unit).sum(axis=0)
    np.testing.assert_allclose(charged, score_result(result, paths.truth).cost, rtol=1e-9)


def test_realised_profit_is_the_score_plus_noise(paths):
    result = simulate(build_oracle("joint", paths), paths)
    score = score_result(result, paths.truth)
    earned = (result.returns / paths.objective.unit_risk).mean()
    expected = (score.gross - score.cost).sum() / score.bars.sum()
    assert earned == pytest.approx(expected, abs=4 * np.sqrt(score.risk.sum()) / score.bars.sum())
