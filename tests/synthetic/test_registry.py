"""Planted markets by name."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.errors import ConfigError
from mtquant.synthetic import SYNTHETIC, build_planted, evaluation_paths, planted_params
from mtquant.synthetic.catalogue import SYMBOLS

TINY = {"train_histories": 1, "validation_histories": 1, "test_histories": 1, "history_bars": 60}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_every_market_is_complete(name):
    planted = build_planted(name, TINY, Streams(0), ("EURUSD", "SPX500"))
    bars = 180
    assert planted.market.symbols == planted.truth.symbols == ("EURUSD", "SPX500")
    assert [planted.splits[s].bars for s in ("train", "validation", "test")] == [60, 60, 60]
    assert planted.truth.alpha.shape == (bars, 2) and planted.truth.posterior.shape[0] == bars
    assert planted.market.history_bounds() == [(0, 60), (60, 120), (120, 180)]
    if planted.signals is not None:
        assert planted.signals.shape == (bars, 2, len(planted.signal_names))
    assert planted.market.fingerprint == build_planted(name, TINY, Streams(0), ("EURUSD", "SPX500")).market.fingerprint
    paths = evaluation_paths(planted, Streams(0), 2, 30)
    assert paths.splits.test.bars == 60 and paths.truth.params == planted.truth.params
    assert paths.market.symbols == planted.market.symbols


@pytest.mark.parametrize("name", ["embedded-null", "no-signal"])
def test_markets_without_signal_have_none(name):
    assert not build_planted(name, TINY, Streams(0)).truth.alpha.any()


def test_hourly_market_is_the_daily_one_relabelled():
    daily, hourly = (planted_params(name, {}) for name in ("embedded", "embedded-hourly"))
    ratio = np.sqrt(24)
    assert daily.objective.g / hourly.objective.g == pytest.approx(ratio)
    assert daily.impact / hourly.impact == pytest.approx(ratio)
    np.testing.assert_allclose(daily.edges / hourly.edges, ratio)
    np.testing.assert_allclose(hourly.edges, [0.01276, -0.01766], atol=5e-6)


def test_symbols_default_to_all():
    assert build_planted("embedded", TINY, Streams(0)).market.symbols == SYMBOLS


def test_mistakes_are_explained():
    with pytest.raises(ConfigError, match="Did you mean `embedded`"):
        build_planted("embeded", {}, Streams(0))
    with pytest.raises(ConfigError, match="Did you mean `macro_mean`"):
        build_planted("embedded", {"macro_maen": 1.0}, Streams(0))
    with pytest.raises(ConfigError, match=r"data\.planted\.stay.*embedded"):
        build_planted("embedded", {"stay": 1.5}, Streams(0))
    with pytest.raises(ConfigError, match=r"data\.planted\.train_histories"):
        build_planted("embedded", {"train_histories": "many"}, Streams(0))
