"""The band at proportional costs: published values, limits that are known, and independence of the grid."""

import numpy as np
import pytest

from mtquant.synthetic.factors import SpreadParams
from mtquant.synthetic.no_trade_band import solve_band


@pytest.mark.parametrize(
    ("spread", "phi", "utility", "half_width"),
    [(0.05, 0.05, 0.0426, 0.22), (0.10, 0.05, 0.0382, 0.31), (0.02, 0.02, 0.0477, 0.13)],
)
def test_values_are_the_published_ones(spread, phi, utility, half_width):
    band = solve_band(SpreadParams(spread=spread, phi_signal=phi))
    assert band.utility == pytest.approx(utility, rel=0.005)
    # The published width was read off a grid of 0.03.
    assert band.half_width == pytest.approx(half_width, abs=0.025)
    assert band.tolerance < 1e-7


def test_without_costs_the_optimum_is_markowitz():
    params = SpreadParams(spread=0.0)
    band = solve_band(params)
    # b^2 / 2 g, and the position is b f / g exactly; the grid of positions costs at most g step^2 / 8.
    exact = 0.5 * params.loading**2 / params.risk_aversion_per_bar
    assert band.utility == pytest.approx(exact, rel=1e-3)
    inside = np.abs(band.signal) < 4.5
    wanted = params.loading / params.risk_aversion_per_bar * band.signal
    np.testing.assert_allclose(band.low[inside], wanted[inside], atol=0.0126)
    np.testing.assert_array_equal(band.low, band.high)


def test_the_band_is_odd_in_the_signal_and_widens_with_costs():
    narrow, wide = (solve_band(SpreadParams(spread=spread)) for spread in (0.05, 0.10))
    np.testing.assert_allclose(narrow.low, -narrow.high[::-1], atol=0.0126)
    assert (narrow.low <= narrow.high).all()
    assert wide.half_width > narrow.half_width
    assert wide.utility < narrow.utility


def test_inside_the_band_nothing_is_traded():
    band = solve_band(SpreadParams())
    signal = np.array([0.0, 0.0, 0.0, 1.0])
    held = np.array([0.1, 2.0, -2.0, 0.0])
    wanted = band.trade(signal, held)
    assert wanted[0] == held[0]
    middle = len(band.signal) // 2
    assert wanted[1] == band.high[middle] and wanted[2] == band.low[middle]
    assert wanted[3] == pytest.approx(np.interp(1.0, band.signal, band.low))
