"""Stressed markets have what they promise; crises and break-even costs are found where they are."""

import math

import numpy as np
import pytest

from mtquant.data.volatility import scaled_moves
from mtquant.evaluation.series import common_clock
from mtquant.evaluation.stress import break_even, measure_stress, windows_inside, with_correlation, with_gaps
from tests.evaluation.made import made_measuring, made_result
from tests.tiny import tiny_dataset


@pytest.mark.parametrize("wanted", [0.3, 0.9])
def test_instruments_correlate_as_they_should(wanted):
    dataset = tiny_dataset(bars=4000)
    stressed = with_correlation(dataset, wanted)
    moves = scaled_moves(stressed.market, dataset.point_volatility)
    before = scaled_moves(dataset.market, dataset.point_volatility)
    found = np.corrcoef(moves.T)[np.triu_indices(4, 1)]
    np.testing.assert_allclose(found, wanted, atol=0.01)
    np.testing.assert_allclose(moves.std(axis=0), before.std(axis=0), rtol=0.01)
    np.testing.assert_array_equal(stressed.features, dataset.features)


def test_gaps_are_between_close_and_open():
    dataset = tiny_dataset(bars=2000)
    stressed = with_gaps(dataset, np.random.default_rng(0))
    scale = np.asarray(dataset.point_volatility)
    extra = np.diff(stressed.market.close - dataset.market.close, axis=0) / scale[:-1]
    start = dataset.market.history_bounds()[1][0]
    extra[start - 1] = 0.0
    jumped = np.abs(extra[:, 0]) > 1.0
    assert 15 < jumped.sum() < 60
    np.testing.assert_allclose(np.abs(extra[jumped]), 5.0, atol=1e-6)
    inside = stressed.market.ohlcv[:, :, 3] - stressed.market.ohlcv[:, :, 0]
    np.testing.assert_allclose(inside, dataset.market.ohlcv[:, :, 3] - dataset.market.ohlcv[:, :, 0], atol=1e-9)
    np.testing.assert_array_equal(stressed.market.ohlcv[start], dataset.market.ohlcv[start])


def test_missing_bars_stay_missing():
    dataset = tiny_dataset(bars=1000, missing=0.2)
    stressed = with_gaps(dataset, np.random.default_rng(1)).market
    missing = ~stressed.tradable[1:]
    missing[499] = False
    np.testing.assert_allclose(stressed.close[1:][missing], stressed.close[:-1][missing])


@pytest.mark.parametrize(
    ("returns", "edge"),
    [([0.1, 0.05, -0.05], 1.5), ([0.1, 0.0, -0.1], 1.0), ([-0.1, -0.2, -0.3], math.nan), ([0.3, 0.2, 0.1], math.inf)],
)
def test_the_break_even_cost_is_where_returns_cross_zero(returns, edge):
    assert break_even([0.0, 1.0, 2.0], returns) == pytest.approx(edge, nan_ok=True)


def test_the_figures_of_a_stress_are_those_of_its_account():
    result = made_result("r", 1)
    clock = common_clock([result])
    found = measure_stress("x", result, made_measuring(), clock)
    returns = result.returns.T.ravel()
    assert found.worst_day == pytest.approx(returns.min())
    assert found.annual_return == pytest.approx(returns.mean() * 260.0)
    assert found.passes_ruined == 0.0
    assert found.breaker_share == pytest.approx((result.breaker > 0).mean())


def test_only_crises_inside_the_bars_are_named():
    """The made results run from 1997 on, so a window is put there."""
    result, other = made_result("a", 1, passes=1), made_result("b", 2, passes=1)
    clock = common_clock([result, other])
    assert windows_inside({"a": result}, clock, made_measuring()) == ()
    with pytest.MonkeyPatch.context() as patch:
        made = {"made": ("1997-06-01", "1997-06-30"), "short": ("1997-05-19", "1997-05-20")}
        patch.setattr("mtquant.evaluation.stress.WINDOWS", made)
        (found,) = windows_inside({"a": result, "b": other}, clock, made_measuring())
    assert (found.first, found.last, found.days) == ("1997-06-01", "1997-06-30", 30)
    inside = result.returns[:, 0][13:43]
    assert found.returns["a"] == pytest.approx(float(np.prod(1.0 + inside) - 1.0))
