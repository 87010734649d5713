"""Indicators know nothing of the future, are finite whatever the bars, and mean what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.context import Streams
from mtquant.data.indicators import BOUND, INDICATORS, REGIMES
from mtquant.data.patterns import PATTERNS
from tests.data.make import walk

ALL = INDICATORS | REGIMES | PATTERNS
NEUTRAL_BARS = {
    "rsi": 14,
    "adx": 27,
    "bollinger": 19,
    "macd": 33,
    "volume": 20,
    "mlmi": 53,
    "mlmi_spread": 33,
    "illiquidity": 20,
    "trend_strength": 14,
}


@st.composite
def bars(draw) -> np.ndarray:
    """Bars of any level, sign and scale, with flat stretches, jumps and bars without range or volume."""
    length = draw(st.integers(1, 400))
    rng = Streams(draw(st.integers(0, 10_000))).rng("bars")
    level = draw(st.sampled_from([0.0, 1.0, 1.1, 40.0, -37.0, 34_000.0, 1e-4]))
    scale = draw(st.sampled_from([1e-6, 1e-3, 1.0, 50.0]))
    steps = rng.standard_normal(length) * (rng.random(length) > draw(st.sampled_from([0.0, 0.5, 0.95, 1.0])))
    steps[rng.random(length) < 0.01] *= 100.0
    close = level + scale * np.cumsum(steps)
    opened = np.concatenate([[level], close[:-1]])
    wick = scale * rng.random((length, 2)) * draw(st.sampled_from([0.0, 1.0]))
    volume = rng.integers(0, 1000, length) * draw(st.sampled_from([0.0, 1.0]))
    return np.stack(
        [opened, np.maximum(opened, close) + wick[:, 0], np.minimum(opened, close) - wick[:, 1], close, volume], axis=1
    )


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_future_changes_nothing(name, data):
    ohlcv = data.draw(bars())
    cut = data.draw(st.integers(1, len(ohlcv)))
    other = ohlcv.copy()
    other[cut:] = other[cut:, [0, 2, 1, 3, 4]] * np.array([-3.0, -3.0, -3.0, -3.0, 2.0]) + 17.0
    whole = ALL[name](ohlcv)
    assert np.array_equal(ALL[name](ohlcv[:cut].copy()), whole[:cut])
    assert np.array_equal(ALL[name](other)[:cut], whole[:cut])


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=60, deadline=None)
@given(ohlcv=bars())
def test_values_are_finite_and_bounded(name, ohlcv):
    value = ALL[name](ohlcv)
    assert value.shape == (len(ohlcv),) and value.dtype == np.float64
    assert np.isfinite(value).all() and np.abs(value).max() <= BOUND


@pytest.mark.parametrize("name", ALL)
def test_a_price_that_never_moves_shows_nothing(name):
    flat = np.tile([5.0, 5.0, 5.0, 5.0, 0.0], (200, 1))
    value = ALL[name](flat)
    expected = -1.0 if name == "adx" else 0.0  # no movement is no trend: ADX 0 is shown as -1
    assert set(np.round(value, 12)) <= {0.0, expected}


@pytest.mark.parametrize("name", ALL)
def test_the_unit_of_the_price_does_not_matter(name):
    ohlcv = walk(400, seed=2)
    scaled = ohlcv * np.array([1e4, 1e4, 1e4, 1e4, 1.0])
    assert np.allclose(ALL[name](scaled), ALL[name](ohlcv), atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_values_are_of_order_one_and_move(name):
    value = ALL[name](walk(3000, seed=5))[300:]
    assert 0.1 < value.std() < 3.0


@pytest.mark.parametrize(("name", "count"), NEUTRAL_BARS.items())
def test_warm_up_is_neutral_for_as_long_as_documented(name, count):
    value = ALL[name](walk(200, seed=1))
    assert not value[:count].any() and value[count:].any()


def test_rsi_is_wilders():
    ohlcv = walk(120, seed=3)
    change = np.diff(ohlcv[:, 3])
    gain, loss = np.maximum(change, 0), np.maximum(-change, 0)
    up, down = gain[:14].mean(), loss[:14].mean()
    expected = [100 * up / (up + down)]
    for g, s in zip(gain[14:], loss[14:], strict=True):
        up, down = (13 * up + g) / 14, (13 * down + s) / 14
        expected.append(100 * up / (up + down))
    assert np.allclose(INDICATORS["rsi"](ohlcv)[14:], (np.array(expected) - 50) / 25)


def test_bollinger_measures_distance_from_the_mean_in_half_bandwidths():
    ohlcv = walk(60, seed=4)
    window = ohlcv[20:40, 3]
    assert np.isclose(INDICATORS["bollinger"](ohlcv)[39], (window[-1] - window.mean()) / (2 * window.std()), rtol=1e-6)


def test_range_says_where_the_close_lies():
    bar = np.array([[1.0, 2.0, 1.0, close, 1.0] for close in (1.0, 1.5, 2.0)])
    assert INDICATORS["range"](bar).tolist() == [-1.0, 0.0, 1.0]


def test_volume_is_scored_against_its_past_only():
    ohlcv = walk(60, seed=9)
    amount = np.log1p(ohlcv[:, 4])
    weights = 2.0 ** (-np.arange(59)[::-1] / 50.0)
    mean = np.average(amount[:59], weights=weights)
    std = np.sqrt(np.average((amount[:59] - mean) ** 2, weights=weights))
    assert np.isclose(INDICATORS["volume"](ohlcv)[59], (amount[59] - mean) / std)


def test_drawdown_is_zero_at_a_new_high_and_forgets_after_250_bars():
    ohlcv = walk(800, seed=6)
    close = ohlcv[:, 3]
    value = INDICATORS["drawdown"](ohlcv)
    for t in (100, 249, 250, 600, 799):
        highest = close[max(0, t - 249) : t + 1].max()
        assert (value[t] == 0) == (close[t] == highest)
        assert value[t] <= 0


def test_trend_state_is_one_on_a_straight_line():
    rising = np.repeat(np.arange(100.0)[:, None], 5, axis=1)
    assert np.allclose(REGIMES["trend_state"](rising)[1:], 1.0)
    assert np.allclose(REGIMES["trend_state"](-rising)[1:], -1.0)


def test_volatility_states_rise_when_moves_grow():
    calm, wild = walk(600, seed=7, step=0.001), walk(60, seed=8, step=0.01)
    wild[:, :4] += calm[-1, 3] - wild[0, 3]
    joined = np.concatenate([calm, wild])
    for name in ("volatility_ratio", "volatility_state"):
        value = ALL[name](joined)
        assert value[-1] > value[550] + 0.3
