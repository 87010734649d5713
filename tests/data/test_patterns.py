"""The indicators of the games against the slow, obvious way to compute them."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.data.indicators import LONG_HALF_LIFE, volatility_of
from mtquant.data.kernels import weighted_mean
from mtquant.data.market import CLOSE, HIGH, LOW
from mtquant.data.patterns import (
    FAST_KERNEL,
    HORIZON_BARS,
    KERNEL_ALPHA,
    KERNEL_BARS,
    MEMORY_BARS,
    NEIGHBOURS,
    RSI_BARS,
    SLOW_WMA,
    _rsi_means,
    entry_location,
    fair_value_gaps,
    kernel_mean,
    mlmi,
    momentum,
    trend_strength,
)
from tests.data.make import walk


def candles(*bars: tuple[float, float]) -> np.ndarray:
    """Bars of given (low, high), closing in the middle."""
    return np.array([[(low + high) / 2, high, low, (low + high) / 2, 1.0] for low, high in bars])


def test_a_bullish_gap_opens_fills_and_closes():
    bars = candles((1.0, 2.0), (1.5, 4.0), (3.0, 5.0), (2.5, 4.0), (2.4, 3.0), (1.9, 3.0), (1.8, 2.5))
    bullish, bearish = fair_value_gaps(bars, size=1e-9)
    assert bullish.born.tolist() == [-1, -1, 2, 2, 2, -1, -1]
    np.testing.assert_allclose(bullish.lower[2:5], 2.0)
    np.testing.assert_allclose(bullish.upper[2:5], 3.0)
    np.testing.assert_allclose(bullish.open_share[2:5], [1.0, 0.5, 0.4])
    assert (bearish.born == -1).all()
    assert (np.diff(bullish.confidence()[2:5]) < 0).all()


def test_a_bearish_gap_is_a_bullish_one_upside_down():
    bars = walk(600, seed=3, step=0.01)
    mirrored = bars.copy()
    mirrored[:, [HIGH, LOW]] = -bars[:, [LOW, HIGH]]
    mirrored[:, [0, CLOSE]] *= -1.0
    bullish, bearish = fair_value_gaps(bars)
    other_bullish, other_bearish = fair_value_gaps(mirrored)
    assert (bullish.born >= 0).any() and (bearish.born >= 0).any()
    np.testing.assert_array_equal(bullish.born, other_bearish.born)
    np.testing.assert_allclose(bearish.lower, -other_bullish.upper)
    np.testing.assert_allclose(bearish.open_share, other_bullish.open_share)


def test_gaps_below_the_size_do_not_count():
    bars = walk(1500, seed=4)
    for size in (0.3, 1.0):
        bullish, _ = fair_value_gaps(bars, size)
        newest = np.unique(bullish.born[bullish.born >= 0]).astype(int)
        width = bars[newest, LOW] - bars[newest - 2, HIGH]
        assert (width >= size * volatility_of(bars, LONG_HALF_LIFE)[newest]).all()
    assert len(newest) > 0


def test_kernel_mean_is_the_weighted_mean_of_the_last_bars():
    close = walk(200, seed=1)[:, CLOSE]
    found = kernel_mean(close, FAST_KERNEL)
    for t in (0, 7, 150):
        lag = np.arange(min(KERNEL_BARS, t + 1))
        weight = (1 + lag**2 / (2 * KERNEL_ALPHA * FAST_KERNEL**2)) ** -KERNEL_ALPHA
        assert found[t] == pytest.approx((weight * close[t - lag]).sum() / weight.sum())
    np.testing.assert_allclose(weighted_mean(close, np.ones(3))[2:], np.convolve(close, np.ones(3) / 3, "valid"))


@pytest.mark.parametrize("t", [60, 300, 699])
def test_mlmi_is_what_followed_the_nearest_bars(t):
    bars = walk(700, seed=2)
    fast, slow = _rsi_means(bars)
    scale = volatility_of(bars, LONG_HALF_LIFE) * np.sqrt(HORIZON_BARS)
    first = RSI_BARS + SLOW_WMA - 1
    past = np.arange(max(first, t - HORIZON_BARS - MEMORY_BARS + 1), t - HORIZON_BARS + 1)
    nearest = past[np.argsort((fast[past] - fast[t]) ** 2 + (slow[past] - slow[t]) ** 2)[:NEIGHBOURS]]
    followed = (bars[nearest + HORIZON_BARS, CLOSE] - bars[nearest, CLOSE]) / scale[nearest]
    assert mlmi(bars)[t] == pytest.approx(2.0 * np.clip(followed, -3, 3).mean())


def test_mlmi_learns_a_pattern_and_not_noise():
    """Momentum planted: what followed strength was strength, and the index says so."""
    rng = Streams(0).rng("momentum")
    moves = np.zeros(3000)
    for t in range(1, 3000):
        moves[t] = 0.9 * moves[t - 1] + rng.standard_normal()
    close = 1000.0 + np.cumsum(moves)
    bars = np.stack([close, close, close, close, np.ones(3000)], axis=1)
    ahead = close[5:] - close[:-5]
    assert np.corrcoef(mlmi(bars)[500:-5], ahead[500:])[0, 1] > 0.2


def test_momentum_trend_and_location_mean_what_they_say():
    up = walk(100, seed=0)
    up[:, :4] = np.linspace(1.0, 2.0, 100)[:, None] + np.array([0.0, 0.01, -0.01, 0.0])
    assert (momentum(up)[20:] > 1.0).all()
    assert trend_strength(up, bars=14, threshold=0.6)[14:] == pytest.approx(2.0)
    assert (entry_location(up)[10:] > 0.7).all()
    down = up[::-1].copy()
    assert trend_strength(down)[14:] == pytest.approx(-2.0)
    assert (trend_strength(walk(300, seed=1), threshold=0.99) == 0.0).all()
