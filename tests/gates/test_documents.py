"""The documents' targets as gates measure them: scaled to one volatility, over a stated horizon."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from mtquant.context import Streams
from mtquant.gates.documents import VOLATILITY, realised
from tests.evaluation.made import made_result

YEAR, PATHS, BARS = 260.0, 400, 1000


def result_of(returns):
    """Return a backtest `[BARS, PATHS]` whose accounts earned `returns`."""
    bars, passes = returns.shape
    shape = made_result("made", 0, bars=1, passes=1)
    equity = np.vstack([np.ones(passes), np.cumprod(1.0 + returns, axis=0)])
    none = np.zeros((bars, passes))
    return replace(shape, alive=none == 0.0, equity=equity, value_at_risk=none)


def gaussian(sharpe: float, volatility: float = 0.2):
    """Return the result of a strategy of annual `sharpe`; its value at risk is that of its volatility."""
    per_bar = volatility / math.sqrt(YEAR)
    returns = per_bar * (sharpe / math.sqrt(YEAR) + Streams(0).rng("r").standard_normal((BARS, PATHS)))
    result = result_of(returns)
    return replace(result, value_at_risk=np.full((BARS, PATHS), norm.ppf(0.95) * per_bar))


def test_a_gaussian_strategy_wins_as_its_ratio_says():
    found = realised(gaussian(2.0), "win_rate", 10, 0.02)
    # compounding takes half the variance off the mean
    assert found.low < norm.cdf((2.0 - VOLATILITY / 2.0) * math.sqrt(10 / YEAR)) < found.high
    assert found.high - found.low < 0.02


def test_a_drawdown_is_that_of_the_stated_volatility():
    """Magdon-Ismail et al. (2004): the expected deepest drawdown without drift is 1.2533 sigma sqrt(T)."""
    found = realised(gaussian(0.0), "max_drawdown", 10, 0.02)
    # of the logarithm; bars see a little less than continuous time
    expected = 1.0 - math.exp(-1.2533 * VOLATILITY * math.sqrt(BARS / YEAR))
    assert found.value == pytest.approx(expected, rel=0.06)
    twice = realised(gaussian(0.0, volatility=0.4), "max_drawdown", 10, 0.02)
    assert twice.value == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize(("limit", "share"), [(0.0103, 1.0), (0.0101, 0.0)])
def test_value_at_risk_is_scaled_with_the_returns(limit, share):
    """At 10 % a year it is 1.645 * 0.1 / sqrt(260) = 1.02 % a day."""
    assert realised(gaussian(1.0), "var_compliance", 10, limit).value == share


def test_who_holds_nothing_has_no_figure():
    result = result_of(np.zeros((BARS, 3)))
    assert not realised(result, "max_drawdown", 10, 0.02).known
