"""The hidden-regime market: what is generated is what the parameters say, and the filter is Bayes' rule."""

from itertools import pairwise, product

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.errors import ConfigError
from mtquant.synthetic.hidden_regime import DESKS, RegimeParams, filter_regime, generate, generate_paths
from mtquant.synthetic.observed import by_history

SMALL = RegimeParams(train_histories=2, validation_histories=1, test_histories=1, history_bars=400)


def test_returns_are_means_of_the_regime_plus_shocks():
    planted = generate_paths(RegimeParams(), Streams(1), 60, 1000, DESKS)
    close = by_history(planted.market, planted.market.close)
    eps = close[:, 1:] / close[:, :-1] - 1.0
    shocks = eps / planted.truth.volatility - by_history(planted.market, planted.truth.alpha)[:, :-1]
    flat = shocks.reshape(-1, 3)
    np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=5 / np.sqrt(len(flat)))
    np.testing.assert_allclose(np.cov(flat.T), planted.truth.correlation, atol=6 / np.sqrt(len(flat)))
    means = np.array([[0.16, 0.02, -0.06], [-0.06, 0.10, 0.14]])
    np.testing.assert_array_equal(planted.truth.alpha, means[planted.truth.regime])


def test_regimes_and_reports_have_the_stated_probabilities():
    planted = generate_paths(RegimeParams(), Streams(2), 200, 1000, DESKS)
    regime = by_history(planted.market, planted.truth.regime)
    report = by_history(planted.market, planted.market.macro[:, 0])
    assert set(np.unique(report)) == {-1.0, 1.0}
    assert np.mean(regime[:, 1:] == regime[:, :-1]) == pytest.approx(0.98, abs=0.002)
    assert np.mean((report > 0) == (regime == 1)) == pytest.approx(0.85, abs=0.005)
    assert regime.mean() == pytest.approx(0.5, abs=0.06)


def test_the_filter_is_bayes_rule():
    # Brute force over all regime paths of five bars.
    params = RegimeParams()
    seen = np.array([1.0, 1.0, -1.0, 1.0, -1.0])
    weight = np.zeros(2)
    for path in product((0, 1), repeat=len(seen)):
        chance = 0.5
        for before, after in pairwise(path):
            chance *= params.transition[before, after]
        for state, report in zip(path, seen, strict=True):
            chance *= params.likelihood[int(report > 0), state]
        weight[path[-1]] += chance
    found = filter_regime(params, seen[None])[0, -1]
    np.testing.assert_allclose(found, weight / weight.sum(), rtol=1e-12)


def test_the_stored_belief_is_calibrated():
    planted = generate_paths(RegimeParams(), Streams(3), 200, 1000, DESKS)
    belief, regime = planted.truth.posterior[:, 1], planted.truth.regime
    for low, high in ((0.0, 0.1), (0.3, 0.5), (0.5, 0.7), (0.9, 1.0)):
        inside = (belief >= low) & (belief < high)
        assert regime[inside].mean() == pytest.approx(belief[inside].mean(), abs=0.03)


def test_streams_are_independent_of_other_splits_and_of_the_selection():
    base = generate(SMALL, Streams(3), DESKS)
    more = generate(SMALL.model_copy(update={"train_histories": 3}), Streams(3), ("SPX500", "EURUSD"))
    inside, inside_more = (p.splits.test.mask(len(p.market.time)) for p in (base, more))
    assert np.array_equal(base.market.ohlcv[inside][:, [2, 0]], more.market.ohlcv[inside_more])
    assert np.array_equal(base.market.macro[inside], more.market.macro[inside_more])


def test_two_instruments_of_a_group_are_refused():
    with pytest.raises(ConfigError, match="EURUSD, GBPUSD are all of the group forex"):
        generate(SMALL, Streams(3), ("EURUSD", "GBPUSD"))
