"""Sizing: growth fractions, and the risk agent's chain against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.synthetic.sizing import (
    MOVES,
    SizingParams,
    bar_growth,
    growth_share,
    kelly,
    kelly_bet,
    merton,
    solve_sizing,
    stationary_value,
)


@pytest.mark.parametrize(("fraction", "share"), [(0.25, 0.4375), (0.5, 0.75), (1.0, 1.0), (2.0, 0.0)])
def test_growth_of_a_fraction_of_kelly(fraction, share):
    assert growth_share(fraction) == pytest.approx(share)
    # In short bars the growth of wealth itself has these shares.
    mean, volatility = 1e-4, 0.01
    best = kelly(mean, volatility**2)
    found = bar_growth(fraction * best, mean, volatility) / bar_growth(best, mean, volatility)
    assert found == pytest.approx(share, abs=2e-3)


@given(st.floats(0.51, 0.95), st.floats(0.5, 5.0))
def test_the_discrete_bet_grows_fastest(probability, odds):
    best = kelly_bet(probability, odds)

    def growth(share):
        return probability * np.log1p(odds * share) + (1 - probability) * np.log1p(-share)

    if best > 0:
        assert growth(best) >= max(growth(0.99 * best), growth(min(1.01 * best, 0.999))) - 1e-15


def test_merton_at_log_utility_is_kelly():
    assert merton(0.08, 0.03, 1.0, 0.04) == pytest.approx(kelly(0.05, 0.04))
    assert merton(0.08, 0.03, 4.0, 0.04) == pytest.approx(0.25 * kelly(0.05, 0.04))


def test_an_exposure_that_can_ruin_has_no_growth():
    with pytest.raises(ValueError, match="lose the whole account"):
        bar_growth(50.0, 0.0, 0.02)


def test_the_chain_is_solved_as_by_trying_every_policy():
    params = SizingParams(levels=(0.0, 0.75, 1.5), cost=5e-4)
    best = solve_sizing(params)
    # From any of three levels every level can be reached, so a policy is a level wanted at each of six states.
    start = np.tile(np.arange(3), 2)
    every = (np.array(wanted) - start + MOVES.index(0) for wanted in product(range(3), repeat=6))
    values = [stationary_value(params, actions.reshape(best.action.shape)) for actions in every]
    assert best.value == pytest.approx(max(values), rel=1e-9)
    assert stationary_value(params, best.action) == pytest.approx(best.value, rel=1e-9)


def test_without_costs_the_optimum_is_the_level_nearest_fractional_kelly_under_the_cap():
    params = SizingParams(cost=0.0)
    best = solve_sizing(params)
    levels, exposures = np.array(params.levels), []
    for regime, variance in enumerate(params.variance):
        wanted = params.fraction * kelly(params.mean / params.bars_per_year, variance)
        nearest = min(int(np.argmin(np.abs(levels - wanted))), int(params.highest[regime]))
        exposures.append(nearest)
        assert params.landed(regime, nearest, best.action[regime, nearest]) == nearest
    assert exposures[0] == params.highest[0] < len(levels) - 1, "the cap binds in the calm regime"
    regime = np.arange(2)
    expected = params.paid(regime, np.array(exposures), np.array(exposures)).mean()
    assert best.value == pytest.approx(expected, rel=1e-9)


def test_costs_make_the_agent_move_less():
    free, dear = solve_sizing(SizingParams(cost=0.0)), solve_sizing(SizingParams(cost=0.05))
    hold = MOVES.index(0)
    assert (dear.action == hold).sum() > (free.action == hold).sum()
    assert dear.value < free.value
