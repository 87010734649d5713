"""Datasets: causal, isolated by history, fitted on the train split only, and exact on planted markets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import FeatureSpec
from mtquant.context import Streams
from mtquant.data.features import Shown, build_dataset, rebuild_dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits
from mtquant.errors import ConfigError, DataError
from mtquant.synthetic import build_planted
from tests.data.make import catalogue, real_like_market, three_way

FULL = FeatureSpec(regimes=True, sessions=True)
SMALL = {"train_histories": 4, "validation_histories": 1, "test_histories": 1, "history_bars": 600}
STATISTICS = ("feature_mean", "feature_std", "correlation")
BY_BAR = ("features", "point_volatility", "macro")


def changed_after(market: Market, bar: int, seed: int) -> Market:
    """Return the market with every bar from `bar` on replaced by others, some of them missing."""
    rng = Streams(seed).rng("future")
    ohlcv, tradable = market.ohlcv.copy(), market.tradable.copy()
    ohlcv[bar:, :, :4] = ohlcv[bar:, :, :4][:, :, [0, 2, 1, 3]] * -2.0 + rng.standard_normal((len(ohlcv) - bar, 1, 1))
    tradable[bar:] = rng.random(tradable[bar:].shape) > 0.2
    for t in range(bar, len(ohlcv)):
        ohlcv[t][~tradable[t]] = ohlcv[t - 1][~tradable[t]][:, [3, 3, 3, 3, 4]]
    return Market(
        market.symbols,
        market.time,
        ohlcv,
        tradable,
        market.history,
        market.timeframe,
        market.bars_per_year,
        market.macro,
        market.macro_names,
    )


def first_bars(market: Market, bars: int) -> Market:
    """Return the market as it was known at the close of bar `bars` - 1."""
    return Market(
        market.symbols,
        market.time[:bars],
        market.ohlcv[:bars].copy(),
        market.tradable[:bars].copy(),
        market.history[:bars],
        market.timeframe,
        market.bars_per_year,
        market.macro[:bars].copy(),
        market.macro_names,
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.0, 1.0), missing=st.sampled_from([0.0, 0.3]))
def test_the_future_changes_nothing(seed, share, missing):
    market = real_like_market(400, seed, missing=missing)
    splits = three_way(400)
    cut = 240 + int(share * 159)
    whole = build_dataset(market, splits, FULL, planted=False, catalogue=catalogue())
    short = Splits(splits.train, Split("validation", ((240, cut),)), Split("test", ((cut, cut),)))
    other = changed_after(market, cut, seed)
    for found in (
        build_dataset(first_bars(market, cut), short, FULL, planted=False, catalogue=catalogue()),
        build_dataset(other, splits, FULL, planted=False, catalogue=catalogue()),
    ):
        for name in BY_BAR:
            assert np.array_equal(getattr(found, name)[:cut], getattr(whole, name)[:cut]), name
        for name in STATISTICS:
            assert np.array_equal(getattr(found, name), getattr(whole, name)), name


def test_the_past_does_matter():
    market = real_like_market(400)
    ohlcv = market.ohlcv.copy()
    ohlcv[300, 0, :4] *= 1.01
    other = Market(
        market.symbols, market.time, ohlcv, market.tradable, market.history, market.timeframe, market.bars_per_year
    )
    a, b = (build_dataset(m, three_way(400), FULL, planted=False) for m in (market, other))
    assert not np.array_equal(a.features[300], b.features[300])
    assert not np.array_equal(a.point_volatility[300], b.point_volatility[300])


def test_histories_do_not_see_each_other():
    market = real_like_market(600, histories=3, missing=0.2)
    splits = Splits(Split("train", ((0, 200),)), Split("validation", ((200, 400),)), Split("test", ((400, 600),)))
    whole = build_dataset(market, splits, FULL, planted=False)
    other = build_dataset(changed_after(market, 400, 1), splits, FULL, planted=False)
    alone = rebuild_dataset(
        whole, first_bars(changed_after(market, 200, 1), 200), Splits(*(Split(n, ()) for n in ("a", "b", "c"))), FULL
    )
    for name in BY_BAR:
        assert np.array_equal(getattr(whole, name)[:400], getattr(other, name)[:400])
        assert np.array_equal(getattr(whole, name)[:200], getattr(alone, name))
    shifted = np.concatenate([np.arange(200, 400), np.arange(200), np.arange(400, 600)])
    moved = Market(
        market.symbols,
        market.time[shifted],
        market.ohlcv[shifted],
        market.tradable[shifted],
        market.history,
        market.timeframe,
        market.bars_per_year,
    )
    found = rebuild_dataset(whole, moved, splits, FULL)
    for name in BY_BAR:
        assert np.array_equal(getattr(whole, name)[shifted], getattr(found, name))


def test_bars_without_an_instrument_hold_its_indicators_and_move_nothing():
    market = real_like_market(400, missing=0.4)
    dataset = build_dataset(market, three_way(400), FeatureSpec(), planted=False)
    lag, rsi = dataset.feature_names.index("lag_0"), dataset.feature_names.index("rsi")
    gone = ~market.tradable
    assert gone[1:].any()
    assert not dataset.features[gone][:, lag].any()
    held = dataset.features[1:, :, rsi][gone[1:]] == dataset.features[:-1, :, rsi][gone[1:]]
    assert held.all()
    assert (dataset.point_volatility[1:][gone[1:]] == dataset.point_volatility[:-1][gone[1:]]).all()


def test_an_instrument_without_bars_at_first_shows_nothing_until_it_has_one():
    market = real_like_market(400, missing=0.0)
    tradable = market.tradable.copy()
    tradable[:5, 0] = False
    late = Market(market.symbols, market.time, market.ohlcv, tradable, market.history, "D1", 261.0)
    dataset = build_dataset(late, three_way(400), FULL, planted=False)
    place = dataset.feature_names.index("range")
    assert not dataset.features[:5, 0, place].any() and dataset.features[5, 0, place]
    assert (dataset.point_volatility[:5, 0] == dataset.point_volatility[0, 0]).all()
    assert (dataset.point_volatility > 0).all()


def test_planted_signals_come_back_exactly():
    planted = build_planted("embedded", SMALL, Streams(1))
    spec = FeatureSpec()
    dataset = build_dataset(planted.market, planted.splits, spec, planted=True)
    params = planted.truth.params
    sigma = dataset.statistics["simple_return_std"]
    assert np.allclose(sigma, planted.truth.volatility, rtol=0.05)
    assert np.allclose(dataset.point_volatility, sigma * planted.market.close)
    for column, half_life in enumerate(spec.return_half_lives):
        theta = 2.0 ** (-1.0 / half_life)
        for start, stop in planted.market.history_bounds()[:2]:
            close = planted.market.close[start:stop]
            z = np.zeros(close.shape[1])
            for t in range(1, 200):
                z = theta * z + np.sqrt(1 - theta**2) * (close[t] / close[t - 1] - 1) / sigma
                assert np.allclose(dataset.features[start + t, :, column], z, atol=1e-5)
    slow = dataset.features[:, :, spec.return_half_lives.index(params.half_life_slow)]
    fast = dataset.features[:, :, spec.return_half_lives.index(params.half_life_fast)]
    edge = params.edges[0] * slow + params.edges[1] * fast
    late = np.concatenate([np.arange(start + 200, stop) for start, stop in planted.market.history_bounds()])
    # The regime multiplies the edge: within a group its sign is all that features can tell.
    agree = np.sign(edge[late]) == np.sign(planted.truth.alpha[late])
    assert agree.mean() > 0.97
    assert np.abs(dataset.correlation - planted.truth.correlation).max() < 0.1
    assert dataset.macro_names[:3] == planted.market.macro_names


def test_statistics_describe_the_train_split():
    planted = build_planted("embedded", SMALL, Streams(2))
    dataset = build_dataset(planted.market, planted.splits, FeatureSpec(), planted=True)
    train = np.concatenate([np.arange(start + 150, stop) for start, stop in planted.splits.train.segments])
    shown = dataset.features[train].astype(np.float64)
    assert np.allclose(dataset.feature_mean, shown.mean(axis=(0, 1)))
    assert np.allclose(dataset.feature_std, shown.std(axis=(0, 1)))
    assert np.allclose(dataset.macro[train].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(dataset.macro[train].std(axis=0), 1, atol=1e-4)


def test_fresh_paths_use_the_statistics_they_are_given():
    planted = build_planted("embedded", SMALL, Streams(3))
    fresh = build_planted("embedded", SMALL, Streams(4))
    spec = FeatureSpec()
    dataset = build_dataset(planted.market, planted.splits, spec, planted=True)
    again = rebuild_dataset(dataset, planted.market, planted.splits, spec)
    for name in (*BY_BAR, *STATISTICS):
        assert np.array_equal(getattr(dataset, name), getattr(again, name))
    empty = Splits(*(Split(n, ()) for n in ("train", "validation", "test")))
    other = rebuild_dataset(dataset, fresh.market, empty, spec)
    assert np.allclose(other.point_volatility, dataset.statistics["simple_return_std"] * fresh.market.close)
    with pytest.raises(DataError, match="statistics are for"):
        rebuild_dataset(dataset, fresh.market, empty, FeatureSpec(return_lags=1))
    with pytest.raises(DataError, match="statistics"):
        rebuild_dataset(dataset, fresh.market.select(["XAUUSD"]), empty, spec)


def test_shown_signals_are_last_and_shown_to_peers():
    planted = build_planted("gp-easy", {"train_histories": 2, "history_bars": 400}, Streams(0))
    shown = Shown(planted.signals, planted.signal_names)
    dataset = build_dataset(planted.market, planted.splits, FeatureSpec(), planted=True, shown=shown)
    count = len(planted.signal_names)
    assert dataset.feature_names[-count:] == planted.signal_names
    assert np.array_equal(dataset.features[:, :, -count:], planted.signals.astype(np.float32))
    width = len(dataset.feature_names)
    assert dataset.signal_columns == (*range(6), *range(width - count, width))
    with pytest.raises(DataError, match="shape"):
        build_dataset(
            planted.market, planted.splits, FeatureSpec(), planted=True, shown=Shown(planted.signals[1:], shown.names)
        )


def test_every_choice_has_its_columns():
    spec = FeatureSpec(return_half_lives=(2.5,), return_lags=2, indicators=("rsi",), regimes=True, sessions=True)
    dataset = build_dataset(real_like_market(400), three_way(400), spec, planted=False)
    assert dataset.feature_names[:6] == ("ewma_2.5", "lag_0", "lag_1", "rsi", "volatility_state", "trend_state")
    assert dataset.feature_names[6:8] == ("day_sin", "day_cos")
    assert dataset.features.shape == (400, 5, len(dataset.feature_names)) and dataset.features.dtype == np.float32
    assert np.array_equal(dataset.features[1:, :, 2], dataset.features[:-1, :, 1])
    assert np.isfinite(dataset.features).all() and dataset.signal_columns == (0,)
    assert (dataset.feature_std >= 1e-6).all() and not dataset.features.flags.writeable
    bare = FeatureSpec(return_lags=0, indicators=())
    assert len(build_dataset(real_like_market(400), three_way(400), bare, planted=False).feature_names) == 6


def test_what_cannot_be_measured_stops():
    market = real_like_market(400)
    with pytest.raises(ConfigError, match="`rsj`.*`rsi`"):
        build_dataset(market, three_way(400), FeatureSpec(indicators=("rsj",)), planted=False)
    empty = Splits(*(Split(n, ()) for n in ("train", "validation", "test")))
    with pytest.raises(DataError, match="train split has 0 bars"):
        build_dataset(market, empty, FeatureSpec(), planted=False)
    still = market.ohlcv.copy()
    still[:, 2, :4] = 5.0
    frozen = Market(market.symbols, market.time, still, market.tradable, market.history, "D1", 261.0)
    with pytest.raises(DataError, match="XAUUSD moves in 0"):
        build_dataset(frozen, three_way(400), FeatureSpec(), planted=False)


def test_fixed_volatility_refuses_prices_that_are_not_positive():
    market = real_like_market(400, seed=3)
    assert (market.close[:, 3] < 0).any()
    with pytest.raises(DataError, match="WTIUSD closes at .* positive prices"):
        build_dataset(market, three_way(400), FeatureSpec(volatility="fixed"), planted=False)
    assert (build_dataset(market, three_way(400), FeatureSpec(), planted=False).point_volatility > 0).all()


def test_correlation_of_real_bars_is_shrunk_and_positive_definite():
    market = real_like_market(500)
    twin = market.ohlcv.copy()
    twin[:, 1] = twin[:, 0]
    tradable = market.tradable.copy()
    tradable[:, 1] = tradable[:, 0]
    same = Market(market.symbols, market.time, twin, tradable, market.history, "D1", 261.0)
    dataset = build_dataset(same, three_way(500), FeatureSpec(), planted=False)
    assert np.isclose(dataset.correlation[0, 1], 0.95, atol=1e-3)
    assert np.allclose(np.diag(dataset.correlation), 1.0)
    assert np.linalg.eigvalsh(dataset.correlation).min() > 0.04
    with pytest.raises(DataError, match="singular"):
        build_dataset(same, three_way(500), FeatureSpec(volatility="ewma"), planted=True)
    never = market.tradable.copy()
    never[1:, 0] &= np.arange(499) % 2 == 0
    never[1:, 1] &= np.arange(499) % 2 == 1
    apart = Market(market.symbols, market.time, market.ohlcv, never, market.history, "D1", 261.0)
    with pytest.raises(DataError, match="EURUSD and USDJPY share 0"):
        build_dataset(apart, three_way(500), FeatureSpec(), planted=False)
