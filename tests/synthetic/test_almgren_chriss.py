"""Optimal execution: the closed form is the least of all schedules, and the published values are met."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mtquant.synthetic.almgren_chriss import (
    ExecutionParams,
    cost_and_variance,
    even_holdings,
    immediate_holdings,
    objective,
    optimal_holdings,
    optimum,
    routing,
)


@pytest.mark.parametrize(
    ("risk_aversion", "kappa", "best", "twap"),
    [(50.0, 1.4228, 0.0177970, 0.0185500), (500.0, 4.4909, 0.0422326, 0.0741250)],
)
def test_published_values(risk_aversion, kappa, best, twap):
    params = ExecutionParams(risk_aversion=risk_aversion)
    cost, variance = optimum(params)
    assert params.kappa == pytest.approx(kappa, abs=5e-5)
    assert cost + risk_aversion * variance == pytest.approx(best, abs=5e-8)
    assert objective(params, even_holdings(params)) == pytest.approx(twap, abs=5e-8)
    assert objective(params, immediate_holdings(params)) == pytest.approx(0.2)


@given(st.floats(0.5, 2000.0), st.floats(0.005, 0.05), st.floats(0.005, 0.05), st.floats(0.0, 0.01), st.integers(2, 40))
def test_the_closed_form_is_the_sum_over_steps(risk_aversion, volatility, impact, permanent, steps):
    params = ExecutionParams(
        risk_aversion=risk_aversion,
        volatility=volatility,
        venue_impact=(impact,),
        permanent_impact=permanent,
        steps=steps,
        half_spread=0.001,
    )
    np.testing.assert_allclose(optimum(params), cost_and_variance(params, optimal_holdings(params)), rtol=1e-8)


def test_no_schedule_is_better():
    params = ExecutionParams(steps=6)

    def worth(inside):
        return objective(params, np.concatenate([[params.shares], inside, [0.0]]))

    found = minimize(worth, even_holdings(params)[1:-1], method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(found.x, optimal_holdings(params)[1:-1], atol=1e-6)


def test_routed_venues_act_like_one():
    split = ExecutionParams(venue_impact=(0.015, 0.03))
    assert split.impact == pytest.approx(0.01)
    assert optimum(split) == pytest.approx(optimum(ExecutionParams()))
    np.testing.assert_allclose(routing(split), [2 / 3, 1 / 3])
    # Equal marginal costs: 2 eta_v q_v is the same at every venue.
    assert np.ptp(routing(split) * np.array(split.venue_impact)) == pytest.approx(0.0, abs=1e-15)
