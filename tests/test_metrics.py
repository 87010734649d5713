"""Performance measures: closed values, invariances, NaN rules, agreement with slow loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtquant import metrics
from mtquant.types import Float

YEAR = 260.0
RETURNS = hnp.arrays(np.float64, st.integers(3, 40), elements=st.floats(-0.5, 0.5, width=32))
TABLES = hnp.arrays(
    np.float64, st.tuples(st.integers(3, 20), st.integers(1, 4)), elements=st.floats(-0.5, 0.5, width=32)
)
MEASURES: dict[str, Callable[[Float], Float]] = {
    "mean_return": lambda r: metrics.mean_return(r, YEAR),
    "growth_rate": lambda r: metrics.growth_rate(r, YEAR),
    "volatility": lambda r: metrics.volatility(r, YEAR),
    "sharpe": lambda r: metrics.sharpe(r, YEAR, 0.02),
    "sharpe_standard_error": lambda r: metrics.sharpe_standard_error(r, YEAR),
    "sortino": lambda r: metrics.sortino(r, YEAR, 0.02),
    "calmar": lambda r: metrics.calmar(r, YEAR),
    "max_drawdown": lambda r: metrics.max_drawdown(metrics.wealth(r)),
    "win_rate": lambda r: metrics.win_rate(r, 2),
    "profit_factor": metrics.profit_factor,
    "turnover": lambda r: metrics.turnover(r, YEAR),
}


def same(left: Float, right: Float) -> bool:
    return bool(np.allclose(left, right, rtol=1e-9, atol=1e-12, equal_nan=True))


@pytest.mark.parametrize("name", MEASURES)
@given(table=TABLES)
@settings(max_examples=25, deadline=None)
def test_columns_are_measured_one_by_one(name: str, table: Float) -> None:
    measure = MEASURES[name]
    together = measure(table)
    assert together.shape == (table.shape[1],)
    assert same(together, np.array([float(measure(column)) for column in table.T]))


@pytest.mark.parametrize("name", MEASURES)
def test_nan_is_not_hidden(name: str) -> None:
    returns = np.array([0.01, -0.02, np.nan, 0.03, 0.01, -0.01])
    assert math.isnan(float(MEASURES[name](returns)))


@pytest.mark.parametrize("name", [n for n in MEASURES if n != "max_drawdown"])
def test_no_bars_give_nan(name: str) -> None:
    assert math.isnan(float(MEASURES[name](np.empty(0))))


@given(returns=RETURNS, scale=st.floats(0.01, 1.0))
@settings(max_examples=50, deadline=None)
def test_ratios_do_not_depend_on_leverage(returns: Float, scale: float) -> None:
    assert same(metrics.sharpe(returns, YEAR), metrics.sharpe(scale * returns, YEAR))
    assert same(metrics.sortino(returns, YEAR), metrics.sortino(scale * returns, YEAR))
    assert same(metrics.profit_factor(returns), metrics.profit_factor(scale * returns))
    assert same(metrics.sharpe_standard_error(returns, YEAR), metrics.sharpe_standard_error(scale * returns, YEAR))


@given(returns=RETURNS)
@settings(max_examples=50, deadline=None)
def test_the_other_side_of_the_trade_earns_the_opposite(returns: Float) -> None:
    assert same(metrics.sharpe(-returns, YEAR), -metrics.sharpe(returns, YEAR))
    assert same(metrics.volatility(-returns, YEAR), metrics.volatility(returns, YEAR))
    both = metrics.profit_factor(returns) * metrics.profit_factor(-returns)
    assert math.isnan(float(both)) or both == pytest.approx(1.0)


@given(returns=RETURNS)
@settings(max_examples=50, deadline=None)
def test_drawdown_agrees_with_a_slow_loop(returns: Float) -> None:
    equity = metrics.wealth(returns)
    deepest, peak, value = 0.0, 1.0, 1.0
    for r in returns:
        value *= 1.0 + r
        peak = max(peak, value)
        deepest = max(deepest, (peak - value) / peak)
    depth = metrics.drawdown(equity)
    assert ((depth >= 0.0) & (depth <= 1.0)).all()
    assert float(metrics.max_drawdown(equity)) == pytest.approx(deepest, abs=1e-12)
    assert same(metrics.drawdown(5.0 * equity), depth)


@given(returns=RETURNS, horizon=st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_win_rate_agrees_with_a_slow_loop(returns: Float, horizon: int) -> None:
    won = held = 0
    for start in range(0, len(returns) - horizon + 1, horizon):
        window = returns[start : start + horizon]
        if (window != 0.0).any():
            held += 1
            won += float(np.prod(1.0 + window)) - 1.0 > 0.0
    found = float(metrics.win_rate(returns, horizon))
    assert math.isnan(found) if held == 0 else found == pytest.approx(won / held)


def test_closed_values() -> None:
    returns = np.array([0.02, -0.01, 0.02, -0.01])
    deviation = math.sqrt(4 * 0.015**2 / 3)
    assert float(metrics.mean_return(returns, YEAR)) == pytest.approx(1.3)
    assert float(metrics.sharpe(returns, YEAR)) == pytest.approx(0.005 / deviation * math.sqrt(YEAR))
    assert float(metrics.sharpe(returns, YEAR, 1.3)) == pytest.approx(0.0, abs=1e-9)
    assert float(metrics.sortino(returns, YEAR)) == pytest.approx(0.005 / math.sqrt(0.00005) * math.sqrt(YEAR))
    assert float(metrics.profit_factor(returns)) == pytest.approx(2.0)
    assert float(metrics.growth_rate(returns, 4.0)) == pytest.approx((1.02 * 0.99) ** 2 - 1.0)
    assert float(metrics.calmar(returns, 4.0)) == pytest.approx(((1.02 * 0.99) ** 2 - 1.0) / 0.01)
    assert float(metrics.win_rate(returns, 2)) == 1.0
    assert float(metrics.win_rate(returns, 1)) == 0.5
    assert float(metrics.turnover(np.array([1.0, -0.5, 0.0]), 2.0)) == pytest.approx(1.0)
    assert float(metrics.max_drawdown(np.array([1.0, 2.0, 1.5, 3.0, -1.0]))) == 1.0


def test_what_is_undefined_is_nan() -> None:
    constant, rising = np.full(10, 0.001), np.array([0.01, 0.02, 0.03])
    assert math.isnan(float(metrics.sharpe(constant, YEAR)))
    assert math.isnan(float(metrics.sharpe(np.zeros(10), YEAR)))
    assert math.isnan(float(metrics.volatility(np.array([0.1]), YEAR)))
    assert math.isnan(float(metrics.sharpe_standard_error(np.zeros(10), YEAR)))
    for measure in (metrics.sortino, metrics.calmar):
        assert math.isnan(float(measure(rising, YEAR)))
    assert math.isnan(float(metrics.profit_factor(rising)))
    assert math.isnan(float(metrics.win_rate(np.zeros(20), 10)))
    assert math.isnan(float(metrics.win_rate(rising, 10)))
    assert float(metrics.growth_rate(np.array([0.5, -1.0, 0.5]), YEAR)) == -1.0


def test_win_rate_names_an_impossible_horizon() -> None:
    with pytest.raises(ValueError, match="at least 1 bar; 0"):
        metrics.win_rate(np.ones(3), 0)


def test_gaussian_win_rate_follows_from_sharpe_and_horizon() -> None:
    rng = np.random.default_rng(1)
    returns = 0.006 * rng.standard_normal(400_000) + 2.0 * 0.006 / math.sqrt(YEAR)
    implied = 0.5 * math.erfc(-2.0 * math.sqrt(10 / YEAR) / math.sqrt(2.0))
    assert float(metrics.win_rate(returns, 10)) == pytest.approx(implied, abs=0.01)


def test_standard_error_is_the_spread_of_measured_sharpe_ratios() -> None:
    rng = np.random.default_rng(2)
    table = 0.01 * rng.standard_normal((1_300, 4_000)) + 0.0006
    spread = float(metrics.sharpe(table, YEAR).std())
    assert float(metrics.sharpe_standard_error(table, YEAR).mean()) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize(
    ("trials", "expected", "fewest", "most"),
    [(250, 0.05, 7, 19), (250, 0.01, 1, 6), (500, 0.05, 17, 35), (500, 0.01, 2, 9), (1250, 0.05, 48, 78)],
)
def test_kupiec_accepts_the_published_counts(trials: int, expected: float, fewest: int, most: int) -> None:
    accepted = [x for x in range(trials + 1) if metrics.kupiec(x, trials, expected) > 0.05]
    assert (accepted[0], accepted[-1]) == (fewest, most)
    assert accepted == list(range(fewest, most + 1))


def test_kupiec_at_the_ends() -> None:
    assert math.isnan(metrics.kupiec(0, 0, 0.05))
    assert metrics.kupiec(5, 100, 0.05) == pytest.approx(1.0)
    assert metrics.kupiec(100, 100, 0.05) < 1e-6
    with pytest.raises(ValueError, match="3 of 2"):
        metrics.kupiec(3, 2, 0.05)


def test_compliance_and_exceedances_count() -> None:
    stated = np.array([0.02, 0.02 * (1 + 1e-12), 0.021, 0.0])
    assert float(metrics.compliance(stated, 0.02)) == 0.75
    returns = np.array([-0.03, -0.01, -0.5, -0.1])
    assert float(metrics.exceedances(returns, stated)) == 2.0
