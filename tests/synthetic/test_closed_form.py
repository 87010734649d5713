"""Closed forms against numbers that were derived independently, and against their own optimality."""

import numpy as np
import pytest

from mtquant.synthetic.catalogue import GROUPS, SYMBOLS, shock_correlation
from mtquant.synthetic.closed_form import adjustment, factor_aim, factor_value, joint_factor_value, joint_gain, modes
from mtquant.synthetic.embedded import EmbeddedParams
from mtquant.synthetic.jump_linear import (
    LinearPolicy,
    forecast_loadings,
    joint,
    policy_value,
    stand_alone,
    stationary_moments,
)

ON, OFF = EmbeddedParams(), EmbeddedParams(regimes=False)
PHI = np.array([0.2, 0.02])


def test_modes_of_the_embedded_market_have_the_published_rates():
    solved = modes(shock_correlation(), ON.objective.g, ON.impact)
    np.testing.assert_allclose(solved.variances, [0.115, 0.248, 0.380, 0.565, 0.783, 0.927, 2.087, 2.894], atol=6e-4)
    np.testing.assert_allclose(solved.kappas, [0.125, 0.178, 0.215, 0.255, 0.293, 0.314, 0.430, 0.482], atol=6e-4)
    assert adjustment(ON.objective.g, ON.impact).kappa == pytest.approx(0.324, abs=5e-4)


def test_stand_alone_optimum_without_regimes_is_the_published_one():
    policy = stand_alone(OFF, ("EURUSD",))
    np.testing.assert_allclose(policy.loadings[0, 0, 0], [0.453, -0.442], atol=6e-4)
    value = policy_value(OFF, policy)
    assert value.utility == pytest.approx(0.01080, abs=5e-6)
    assert value.sharpe * np.sqrt(260) == pytest.approx(0.840, abs=6e-4)


@pytest.mark.parametrize(
    ("loading", "g", "impact", "utility", "aim", "markowitz"),
    [
        (0.12, 0.15, 1.5, 0.06344, (0.519, 0.759), -0.115),
        (0.07, 0.10, 1.0, 0.032379, (0.454, 0.664), -0.059),
        (0.10, 0.10, 1.0, 0.066080, None, None),
    ],
)
def test_factor_markets_have_the_published_optimum(loading, g, impact, utility, aim, markowitz):
    edges = np.full(2, loading)
    value = factor_value(edges, PHI, g, impact)
    assert value.utility == pytest.approx(utility, rel=2e-4)
    assert adjustment(g, impact).kappa == pytest.approx(0.270, abs=5e-4)
    if aim is not None:
        np.testing.assert_allclose(factor_aim(edges, PHI, g, impact), aim, atol=6e-4)
        assert factor_value(edges, PHI, g, impact, edges / g, 1.0).utility == pytest.approx(markowitz, abs=5e-4)


@pytest.mark.parametrize("rho", [0.0, 0.01, 0.1])
def test_discounted_rate_solves_the_riccati_equation(rho):
    # Value -A x^2/2 of the noise-free problem: A = keep (g + a') with a' = A l / (A + l), iterated to its fixed point.
    g, impact, curvature = 0.15, 1.5, 1.0
    for _ in range(2000):
        held = (1 - rho) * (g + curvature)
        curvature = impact * held / (impact + held)
    assert curvature == pytest.approx(adjustment(g, impact, rho).a, rel=1e-9)


@pytest.mark.parametrize(("size", "rho", "ratio"), [(2, 0.7, 1.96), (3, 0.5, 1.50), (3, 0.8, 3.46), (8, 0.3, 1.29)])
def test_joint_gain_of_equicorrelated_assets(size, rho, ratio):
    assert joint_gain(rho + (1 - rho) * np.eye(size)) == pytest.approx(ratio, abs=5e-3)


def test_desks_of_the_joint_preset():
    desk = factor_value(np.full(2, 0.10), PHI, 0.10, 1.0).utility
    assert 3 * desk == pytest.approx(0.19824, abs=5e-6)
    assert 3 * desk * joint_gain(0.5 + 0.5 * np.eye(3)) == pytest.approx(0.29736, abs=5e-6)


def test_joint_optimum_of_independent_assets_is_the_sum_of_desks():
    desk = factor_value(np.full(2, 0.10), PHI, 0.10, 1.0).utility
    assert joint_factor_value(np.eye(3), np.full(2, 0.10), PHI, 0.10, 1.0).utility == pytest.approx(3 * desk)


def test_the_simulators_costs_make_netting_worth_less_than_the_textbook_ratio():
    correlation, law = 0.5 + 0.5 * np.eye(3), (np.full(2, 0.10), PHI, 0.10)
    desk = factor_value(*law, 1.0).utility
    joined = joint_factor_value(correlation, *law, 1.0).utility
    assert joint_gain(correlation) == pytest.approx(1.5)
    assert joined / (3 * desk) == pytest.approx(1.362, abs=5e-4)
    # The whole difference is the cost of legs that offset each other's risk: as costs vanish, so does it.
    cheap = joint_factor_value(correlation, *law, 1e-6).utility / (3 * factor_value(*law, 1e-6).utility)
    assert cheap == pytest.approx(1.5, abs=2e-3)


def test_no_other_partial_adjustment_beats_the_factor_optimum():
    edges = np.full(2, 0.12)
    best = factor_value(edges, PHI, 0.15, 1.5)
    aim, kappa = factor_aim(edges, PHI, 0.15, 1.5), adjustment(0.15, 1.5).kappa
    for change in (0.9, 1.1):
        assert factor_value(edges, PHI, 0.15, 1.5, aim * change).utility < best.utility
        assert factor_value(edges, PHI, 0.15, 1.5, aim, kappa * change).utility < best.utility
        assert factor_value(edges, PHI, 0.15, 1.5, aim * [change, 1.0]).utility < best.utility


@pytest.mark.parametrize("params", [ON, EmbeddedParams(correlation_scale=0.5, stay=0.97)])
def test_no_neighbouring_policy_beats_the_full_information_optimum(params):
    # Optimality under the independently computed value proves the forecasts, the aims and the rates at once.
    symbols = ("EURUSD", "GBPUSD", "SPX500")
    policy = joint(params, symbols)
    best = policy_value(params, policy).utility
    rng = np.random.Generator(np.random.PCG64(0))
    for _ in range(8):
        loadings = 0.02 * rng.standard_normal(policy.loadings.shape)
        rate = 0.01 * rng.standard_normal(policy.rate.shape)
        both = [
            policy_value(params, LinearPolicy(symbols, policy.loadings + s * loadings, policy.rate + s * rate)).utility
            for s in (-1.0, 1.0)
        ]
        assert max(both) < best
        # Second order only: the slope across the optimum vanishes against the curvature.
        assert abs(both[1] - both[0]) < 0.2 * (2 * best - sum(both))


def test_forecasts_are_sums_of_expected_edges():
    # Brute force: expectations of z 1{s} propagated bar by bar from one certain state.
    discount, bars = 0.7, 400
    for group, start in ((0, 0), (2, 1)):
        expected = np.zeros((3, 2))
        expected[start] = [1.3, -0.4]
        total = 0.0
        for k in range(bars):
            edge = ON.multipliers[:, group] * (expected @ ON.edges)
            total += discount**k * edge.sum()
            moved = expected * ON.theta + edge[:, None] * ON.gain
            expected = ON.transition.T @ moved
        assert forecast_loadings(ON, discount)[group, start] @ [1.3, -0.4] == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(
    ("params", "policy", "utility", "sharpe"),
    [
        (ON, joint(ON), 0.1265, 2.87),
        (ON, joint(ON, regime_known=False), 0.0844, 2.35),
        (ON, stand_alone(ON), 0.0302, 1.77),
        (ON, stand_alone(ON, scale=np.full(8, 0.61)), 0.0529, 1.85),
        (ON, stand_alone(ON, scale=np.array([0.68] * 3 + [0.88] * 2 + [0.45] * 3)), 0.0562, 1.91),
        (OFF, joint(OFF), 0.0816, None),
    ],
)
def test_exact_values_agree_with_the_simulated_table(params, policy, utility, sharpe):
    value = policy_value(params, policy)
    assert value.utility == pytest.approx(utility, rel=0.02)
    if sharpe is not None:
        assert value.sharpe * np.sqrt(260) == pytest.approx(sharpe, abs=0.01)


def test_exact_values_have_not_moved():
    values = {
        "single": policy_value(ON, stand_alone(ON, ("US30",))).utility,
        "joint": policy_value(ON, joint(ON)).utility,
        "blind": policy_value(ON, joint(ON, regime_known=False)).utility,
    }
    assert values == pytest.approx({"single": 0.01096, "joint": 0.12614, "blind": 0.08424}, abs=6e-6)


def test_without_regimes_or_correlation_all_phases_are_one():
    flat = EmbeddedParams(regimes=False, correlation_scale=0.0)
    alone = policy_value(flat, stand_alone(flat)).utility
    assert policy_value(flat, joint(flat)).utility == pytest.approx(alone, rel=1e-12)
    assert alone == pytest.approx(8 * 0.01080, abs=5e-5)


def test_signal_moments_are_the_published_ones():
    # A policy that holds z itself (rate 1, aim z) has the signals' second moments.
    for signal, variance in ((0, 1.173), (1, 0.910)):
        loadings = np.zeros((3, 1, 1, 2))
        loadings[:, 0, 0, signal] = 1.0
        moments = stationary_moments(OFF, LinearPolicy(("EURUSD",), loadings, np.eye(1)))
        assert moments.second.sum() == pytest.approx(variance, abs=6e-4)


def test_multipliers_have_mean_one():
    assert ON.multipliers.mean(axis=0) == pytest.approx(1.0)
    assert (ON.multipliers**2).mean(axis=0) == pytest.approx(1.55, abs=3e-3)
    assert len(SYMBOLS) == 8 and ON.multipliers.shape == (len(GROUPS), len(GROUPS))
