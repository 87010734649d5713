"""The embedded market: its streams, its bars and the truth that goes with them."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.data.market import Market
from mtquant.errors import DataError
from mtquant.synthetic.bars import business_clock, candles
from mtquant.synthetic.catalogue import CATALOGUE, SYMBOLS, shock_correlation
from mtquant.synthetic.embedded import EmbeddedParams, generate, generate_paths
from mtquant.synthetic.observed import by_history, posterior_from_macro, signals_from_closes
from mtquant.synthetic.planted import Planted
from mtquant.types import Float

SMALL = EmbeddedParams(train_histories=3, validation_histories=2, test_histories=2, history_bars=700)


@pytest.fixture(scope="module")
def small() -> Planted:
    return generate(SMALL, Streams(5))


@pytest.fixture(scope="module")
def large() -> Planted:
    return generate_paths(EmbeddedParams(), Streams(6), 40, 2600)


def returns(planted: Planted) -> Float:
    """Return eps `[H, L - 1, K]` of bars 1, 2, ... from closes."""
    close = by_history(planted.market, planted.market.close)
    return (close[:, 1:] / close[:, :-1] - 1) / planted.truth.volatility


def part(planted: Planted, split: str) -> tuple[Float, ...]:
    inside = planted.splits[split].mask(len(planted.market.time))
    truth = planted.truth
    return (
        planted.market.ohlcv[inside],
        planted.market.macro[inside],
        truth.alpha[inside],
        truth.regime[inside],
        truth.posterior[inside],
    )


def same(left: tuple[Float, ...], right: tuple[Float, ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_default_is_the_specified_size():
    params = EmbeddedParams()
    assert params.counts == (46, 4, 8)
    assert (params.history_bars, params.burn_in, params.bars_per_year) == (2600, 300, 260.0)
    assert params.objective.g == pytest.approx(0.124, abs=5e-5)
    assert params.objective.unit_risk == pytest.approx(0.00620, abs=5e-6)


@pytest.mark.parametrize("change", ["train_histories", "validation_histories", "test_histories"])
def test_the_length_of_one_split_changes_no_other(small, change):
    other = generate(SMALL.model_copy(update={change: 5}), Streams(5))
    for split in ("train", "validation", "test"):
        if f"{split}_histories" != change:
            assert same(part(small, split), part(other, split))


def test_a_longer_history_begins_with_the_shorter_one(small):
    longer = generate(SMALL.model_copy(update={"history_bars": 731}), Streams(5))
    for name in ("ohlcv", "macro"):
        short, long_ = (by_history(p.market, getattr(p.market, name)) for p in (small, longer))
        assert np.array_equal(short, long_[:, :700])
    short, long_ = (by_history(p.market, p.truth.alpha) for p in (small, longer))
    assert np.array_equal(short, long_[:, :700])


def test_selected_instruments_keep_their_prices(small):
    symbols = ("SPX500", "EURUSD")
    few = generate(SMALL, Streams(5), symbols)
    columns = [SYMBOLS.index(s) for s in symbols]
    assert np.array_equal(few.market.ohlcv, small.market.ohlcv[:, columns])
    assert np.array_equal(few.truth.alpha, small.truth.alpha[:, columns])
    assert few.truth.groups == ("forex", "equity") and few.truth.group_of == (1, 0)
    assert few.truth.correlation[0, 1] == 0.10


def test_paths_are_fresh_and_each_is_its_own(small):
    paths = generate_paths(SMALL, Streams(5), 3, 700)
    more = generate_paths(SMALL, Streams(5), 5, 700)
    assert paths.splits.test.bars == 2100 and not paths.splits.train.segments
    assert np.array_equal(paths.market.ohlcv, more.market.ohlcv[:2100])
    assert not np.isin(paths.market.close[:, 0], small.market.close[:, 0]).any()


def test_another_seed_is_another_market(small):
    assert not np.isin(generate(SMALL, Streams(6)).market.close, small.market.close).any()
    assert generate(SMALL, Streams(5)).market.fingerprint == small.market.fingerprint


def test_unknown_instruments_are_refused():
    for symbols in (("EURUSD", "BTCUSD"), ("EURUSD", "EURUSD"), ()):
        with pytest.raises(DataError, match="EURUSD"):
            generate(SMALL, Streams(0), symbols)


def test_bars_are_bars(small):
    stacked = by_history(small.market, small.market.ohlcv)
    open_, high, low, close, volume = np.moveaxis(stacked, -1, 0)
    assert (high >= np.maximum(open_, close)).all() and (low <= np.minimum(open_, close)).all()
    assert np.array_equal(open_[:, 1:], close[:, :-1])
    assert np.array_equal(open_[:, 0], np.tile([CATALOGUE[s].start_price for s in SYMBOLS], (7, 1)))
    assert (volume > 0).all() and (low > 0).all()


def test_candle_ranges_are_exact_in_the_mean():
    rng = np.random.Generator(np.random.PCG64(0))
    volatility = 0.01
    close = np.exp(volatility * rng.standard_normal((200_000, 1)))
    open_ = np.ones_like(close)
    high, low = candles(open_, close, np.full_like(close, volatility), rng.random((200_000, 1, 2)))
    assert np.log(high).mean() / volatility == pytest.approx(0.798, abs=0.004)
    assert np.log(high / low).mean() / volatility == pytest.approx(1.596, abs=0.008)
    parkinson = (np.log(high / low) ** 2).mean() / (4 * np.log(2)) / volatility**2
    assert parkinson == pytest.approx(1.027, abs=0.01)


def test_clock_skips_weekends(small):
    days = small.market.time[:700].astype("datetime64[ns]").astype("datetime64[D]")
    assert np.is_busday(days).all() and (np.diff(days).astype(int) >= 1).all()
    assert len(np.busday_offset(days[0], np.arange(700))) == 700 and days[-1] == np.busday_offset(days[0], 699)
    hours = business_clock(49, "H1").astype("datetime64[ns]")
    assert (np.diff(hours[:25]) == np.timedelta64(1, "h")).all()


def test_returns_are_the_edge_plus_shocks_of_the_given_correlation(large):
    eps = returns(large)
    alpha = by_history(large.market, large.truth.alpha)[:, :-1]
    shocks = eps - alpha
    count = shocks[..., 0].size
    flat = shocks.reshape(-1, 8)
    np.testing.assert_allclose(np.cov(flat.T), shock_correlation(), atol=5 / np.sqrt(count))
    assert np.abs(flat.mean(axis=0)).max() < 5 / np.sqrt(count)
    # The edge of bar t is paid in bar t + 1: slope one, and none of it in the shocks.
    slope = (eps * alpha).sum() / (alpha**2).sum()
    assert slope == pytest.approx(1.0, abs=5 / np.sqrt((alpha**2).sum() / 4))
    # One bar off, the edge contains the return it is compared with: mostly the fast signal's reversal of it.
    late = alpha[:, 1:]
    assert (eps[:, :-1] * late).sum() / (late**2).sum() < -3.0


def test_signals_are_recovered_from_closes(large):
    params = EmbeddedParams()
    signals = by_history(large.market, signals_from_closes(large.market, large.truth.volatility, params))
    group = [0, 0, 0, 1, 1, 2, 2, 2]
    multiplier = params.multipliers[:, group][by_history(large.market, large.truth.regime)]
    edge = multiplier * (signals @ params.edges)
    alpha = by_history(large.market, large.truth.alpha)
    assert np.abs(edge - alpha)[:, 150:].max() < 0.02 * alpha.std() + 0.02
    assert np.abs(edge - alpha)[:, 700:].max() < 1e-8
    np.testing.assert_allclose((signals[:, 150:, :, 0] ** 2).mean(), 1.18, rtol=0.05)


def test_signals_and_posterior_are_causal(small):
    market = small.market
    cut = 400
    head = Market(
        market.symbols,
        market.time[:cut],
        np.array(market.ohlcv[:cut]),
        np.array(market.tradable[:cut]),
        market.history[:cut],
        "D1",
        260.0,
        np.array(market.macro[:cut]),
        market.macro_names,
    )
    volatility = small.truth.volatility
    whole = signals_from_closes(market, volatility, SMALL)
    assert np.array_equal(signals_from_closes(head, volatility, SMALL), whole[:cut])
    assert np.array_equal(posterior_from_macro(head, SMALL), posterior_from_macro(market, SMALL)[:cut])


def test_regimes_and_their_filter(large):
    regime = by_history(large.market, large.truth.regime)
    assert (regime[:, 1:] == regime[:, :-1]).mean() == pytest.approx(0.985, abs=0.0015)
    assert np.bincount(regime.ravel()) / regime.size == pytest.approx([1 / 3] * 3, abs=0.05)
    posterior = large.truth.posterior
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, rtol=1e-12)
    assert (posterior.argmax(axis=1) == large.truth.regime).mean() == pytest.approx(0.857, abs=0.01)
    for low in (0.1, 0.4, 0.7):  # calibrated: what it calls 40 to 50 % happens so often
        picked = (posterior > low) & (posterior < low + 0.1)
        happened = (np.eye(3)[large.truth.regime] * picked).sum() / picked.sum()
        assert happened == pytest.approx(posterior[picked].mean(), abs=0.03)
    again = by_history(large.market, posterior_from_macro(large.market, EmbeddedParams()))
    assert np.abs(again - by_history(large.market, posterior))[:, 150:].max() < 1e-4


def test_edge_has_the_specified_size(large):
    assert large.truth.alpha.std() == pytest.approx(0.0692 * np.sqrt(1.55), rel=0.03)
    off = generate_paths(EmbeddedParams(regimes=False), Streams(6), 20, 1000)
    assert off.truth.alpha.std() == pytest.approx(0.0692, rel=0.02)


def test_null_market_differs_only_in_its_edge(small):
    null = generate(SMALL.model_copy(update={"edge_scale": 0.0}), Streams(5))
    assert not null.truth.alpha.any()
    assert np.array_equal(null.market.macro, small.market.macro)
    edge = by_history(small.market, small.truth.alpha)[:, :-1]
    np.testing.assert_allclose(returns(null), returns(small) - edge, atol=1e-9)


def test_truth_is_read_only(small):
    with pytest.raises(ValueError, match="read-only"):
        small.truth.alpha[0, 0] = 1.0
