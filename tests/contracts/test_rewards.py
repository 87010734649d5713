"""Every reward: finite, exactly 0 for a flat account, pure; and each formula by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import RewardSpec
from mtquant.context import Streams
from mtquant.envs.rewards import REWARDS, BarOutcome, build_reward
from mtquant.errors import ConfigError
from tests.contracts.asserts import assert_flat_earns_nothing, assert_pure

UNIT_RISK = 0.0062
FULL = {"diversification_bonus_weight": 0.5, "downside_volatility_weight": 0.7}


def outcome(seed: int, size: float = 1.0, rows: int = 8) -> BarOutcome:
    rng = Streams(seed).rng("outcome")
    exposure = size * rng.standard_normal((rows, 3))
    gross = size * rng.standard_normal(rows)
    cost = size * rng.random(rows) * 0.1
    risk = (exposure * exposure).sum(axis=1) * rng.uniform(0.3, 1.7, rows)
    return BarOutcome(gross, cost, risk, exposure, np.log1p((gross - cost) * UNIT_RISK) / UNIT_RISK)


@pytest.fixture(params=[(name, extra) for name in REWARDS for extra in ({}, FULL)], ids=str)
def reward(request):
    name, extra = request.param
    return build_reward(RewardSpec(name=name, **extra), UNIT_RISK)


def test_flat_earns_exactly_nothing(reward):
    assert_flat_earns_nothing(reward)


def test_pure(reward):
    assert_pure(reward, outcome(0))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), size=st.floats(0.01, 30.0))
@pytest.mark.parametrize("name", REWARDS)
def test_finite_along_an_episode(name, seed, size):
    paying = build_reward(RewardSpec(name=name), UNIT_RISK)
    memory = np.zeros((8, paying.memory))
    for bar in range(30):
        paid, memory = paying(outcome(seed + bar, size), memory)
        assert np.isfinite(paid).all()
        assert np.isfinite(memory).all()


@pytest.mark.parametrize("name", ["mean_variance", "log_return"])
def test_costs_and_risk_never_pay(name):
    paying = build_reward(RewardSpec(name=name, transaction_cost_weight=1.5), UNIT_RISK)
    bar = outcome(1)
    memory = np.zeros((8, paying.memory))
    after = np.log1p((bar.gross - bar.cost - 0.1) * UNIT_RISK) / UNIT_RISK
    dearer = bar._replace(cost=bar.cost + 0.1, log_return=after)
    assert (paying(dearer, memory)[0] < paying(bar, memory)[0]).all()
    assert (paying(bar._replace(risk=bar.risk + 1.0), memory)[0] < paying(bar, memory)[0]).all()


def test_mean_variance_is_its_formula():
    spec = RewardSpec(risk_aversion=12.0, risk_penalty_weight=0.5, transaction_cost_weight=2.0, **FULL)
    bar = outcome(2)
    half = 0.5 * 12.0 * UNIT_RISK
    spread = np.maximum((bar.exposure**2).sum(axis=1) - bar.risk, 0.0)
    loss = np.minimum(bar.gross - bar.cost, 0.0)
    expected = bar.gross - 2.0 * bar.cost - 0.5 * half * bar.risk + 0.5 * half * spread - 0.7 * half * loss**2
    paid, _ = build_reward(spec, UNIT_RISK)(bar, np.zeros((8, 0)))
    np.testing.assert_allclose(paid, expected, rtol=1e-12)


def test_differential_sharpe_is_the_change_of_the_sharpe_ratio_per_unit_of_eta():
    eta = 1e-5
    paying = build_reward(RewardSpec(name="differential_sharpe", eta=eta), UNIT_RISK)
    first, second = np.full(8, 0.2), np.full(8, 1.3)
    bar = outcome(3)
    paid, after = paying(bar, np.stack([first, second - 1.0], axis=1))
    net = bar.gross - bar.cost
    moved_first, moved_second = first + eta * (net - first), second + eta * (net**2 - second)
    np.testing.assert_allclose(after, np.stack([moved_first, moved_second - 1.0], axis=1), rtol=1e-12)
    change = moved_first / np.sqrt(moved_second - moved_first**2) - first / np.sqrt(second - first**2)
    np.testing.assert_allclose(paid, change / eta, rtol=1e-3, atol=1e-3)


def test_unknown_reward_names_the_nearest():
    with pytest.raises(ConfigError, match=r"Unknown reward `mean_varianc`. Did you mean `mean_variance`\?"):
        build_reward(RewardSpec(name="mean_varianc"), UNIT_RISK)
