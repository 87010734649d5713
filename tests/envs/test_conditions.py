"""What is said of a bar comes from the bars before it, and is what a person would say."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.data.market import Market
from mtquant.envs.conditions import (
    SIDEWAYS,
    STRONG_TREND,
    TREND,
    UNKNOWN,
    VOLATILE,
    is_one_of,
    market_conditions,
    trend_and_turbulence,
)
from tests.tiny import tiny_dataset, tiny_market

LOOKBACK = 40


def with_moves(moves: np.ndarray) -> Market:
    """Return the tiny market with price changes `moves` [T], in hundredths of a price of 100, in every instrument."""
    market = tiny_market(bars=len(moves))
    close = np.repeat(100.0 + np.cumsum(moves)[:, None], len(market.symbols), axis=1)
    ohlcv = np.stack([close, close, close, close, np.full_like(close, 100.0)], axis=-1)
    return replace(market, ohlcv=ohlcv)


def test_a_random_walk_has_the_strength_and_turbulence_of_one():
    dataset = tiny_dataset(bars=4000)
    strength, turbulence = trend_and_turbulence(dataset.market, dataset.point_volatility, LOOKBACK)
    assert np.nanmean(strength) == pytest.approx(np.sqrt(2 / np.pi), abs=0.06)
    assert np.nanmean(turbulence) == pytest.approx(1.0, abs=0.05)


def test_a_steady_move_is_a_trend_and_large_ones_are_turbulence():
    rng = np.random.Generator(np.random.PCG64(0))
    noise = rng.standard_normal(1200)
    noise[400:500] = 0.5
    noise[800:900] = 3.0 * (-1.0) ** np.arange(100)
    market = with_moves(noise)
    strength, turbulence = trend_and_turbulence(market, np.ones(market.close.shape), LOOKBACK)
    assert strength[495] == pytest.approx(0.5 * np.sqrt(LOOKBACK))
    assert turbulence[495] == pytest.approx(0.25)
    assert turbulence[890] == pytest.approx(9.0)
    assert strength[890] == pytest.approx(0.0, abs=1e-9)
    dataset = replace(tiny_dataset(bars=1200), market=market, point_volatility=np.ones(market.close.shape))
    dataset = replace(
        dataset, splits=replace(dataset.splits, train=replace(dataset.splits.train, segments=((0, 1200),)))
    )
    labels = market_conditions(dataset, dataset.splits.train, LOOKBACK)
    assert labels[495] == STRONG_TREND
    assert labels[890] == VOLATILE


def test_nothing_is_known_of_a_history_that_has_just_begun():
    dataset = tiny_dataset()
    labels = market_conditions(dataset, dataset.splits.train, LOOKBACK)
    for start, _ in dataset.market.history_bounds():
        assert (labels[start : start + LOOKBACK] == UNKNOWN).all()
        assert (labels[start + LOOKBACK : start + 2 * LOOKBACK] != UNKNOWN).all()


@pytest.mark.parametrize("at", [60, 150, 333])
def test_later_bars_change_nothing(at):
    dataset = tiny_dataset()
    before = trend_and_turbulence(dataset.market, dataset.point_volatility, LOOKBACK)
    ohlcv = dataset.market.ohlcv.copy()
    ohlcv[at + 1 :] *= 1.5
    volatility = np.array(dataset.point_volatility)
    volatility[at + 1 :] *= 0.1
    after = trend_and_turbulence(replace(dataset.market, ohlcv=ohlcv), volatility, LOOKBACK)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old[: at + 1], new[: at + 1])
        assert not np.array_equal(old[at + 1 :], new[at + 1 :], equal_nan=True)


def test_the_classes_have_their_shares_of_the_split_and_names():
    dataset = tiny_dataset(bars=6000)
    labels = market_conditions(dataset, dataset.splits.train, LOOKBACK)
    known = labels[LOOKBACK:3000]
    shares = {label: (known == label).mean() for label in (SIDEWAYS, TREND, STRONG_TREND, VOLATILE)}
    assert shares == pytest.approx({SIDEWAYS: 1 / 3, TREND: 2 / 9, STRONG_TREND: 1 / 9, VOLATILE: 1 / 3}, abs=0.002)
    assert is_one_of(known, ("trend",)).mean() == pytest.approx(1 / 3, abs=0.002)
    assert is_one_of(known, ("trend", "sideways", "volatile")).all()
    assert is_one_of(known, ("strong_trend",)).sum() == (known == STRONG_TREND).sum()
