"""Factor markets: signals that are shown, edges that are known."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.synthetic.closed_form import factor_value
from mtquant.synthetic.factors import FactorParams, generate, generate_paths
from mtquant.synthetic.observed import by_history

SMALL = FactorParams(train_histories=2, validation_histories=1, test_histories=1, history_bars=500)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_returns_are_loadings_on_signals_plus_shocks(rho):
    planted = generate_paths(FactorParams(correlation=rho), Streams(1), 40, 1500, ("EURUSD", "XAUUSD", "SPX500"))
    close = by_history(planted.market, planted.market.close)
    eps = (close[:, 1:] / close[:, :-1] - 1) / planted.truth.volatility
    signals = by_history(planted.market, planted.signals)[:, :-1]
    alpha = by_history(planted.market, planted.truth.alpha)[:, :-1]
    np.testing.assert_allclose(alpha, 0.12 * signals.sum(axis=-1), atol=1e-14)
    shocks = (eps - alpha).reshape(-1, 3)
    np.testing.assert_allclose(np.cov(shocks.T), planted.truth.correlation, atol=5 / np.sqrt(len(shocks)))
    design = signals.reshape(-1, 2)
    found = np.linalg.lstsq(design, eps.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(found, 0.12, atol=0.01)


def test_signals_are_stationary_and_revert_as_told():
    planted = generate_paths(FactorParams(), Streams(2), 60, 1000)
    signals = by_history(planted.market, planted.signals)
    np.testing.assert_allclose(signals[:, 0].var(axis=(0, 1)), 1.0, atol=0.2)
    np.testing.assert_allclose(signals.var(axis=(0, 1, 2)), 1.0, atol=0.04)
    lagged = (signals[:, 1:] * signals[:, :-1]).sum(axis=(0, 1, 2)) / (signals[:, :-1] ** 2).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(lagged, [0.8, 0.98], atol=0.005)


def test_streams_are_independent_of_other_splits_and_of_the_selection():
    base = generate(SMALL, Streams(3))
    more = generate(SMALL.model_copy(update={"train_histories": 3}), Streams(3), ("US30", "EURUSD"))
    inside, inside_more = (p.splits.test.mask(len(p.market.time)) for p in (base, more))
    assert np.array_equal(base.market.ohlcv[inside][:, [7, 0]], more.market.ohlcv[inside_more])
    assert np.array_equal(base.signals[inside][:, [7, 0]], more.signals[inside_more])


def test_objective_is_in_annual_units():
    objective = SMALL.objective
    assert objective.g == pytest.approx(0.15)
    assert objective.risk_aversion == pytest.approx(0.15 * np.sqrt(252) / 0.10)
    spread = np.sqrt(factor_value(SMALL.loadings, SMALL.phi, objective.g, objective.impact).risk)
    assert objective.action_range > 3 * spread
