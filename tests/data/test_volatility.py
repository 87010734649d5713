"""Point volatility finds the size of moves, causally, for any price level."""

import numpy as np

from mtquant.context import Streams
from mtquant.data.market import Market
from mtquant.data.volatility import fit_scale, history_age, point_volatility, scaled_moves
from tests.data.make import weekdays


def market_of(close: np.ndarray, tradable: np.ndarray | None = None) -> Market:
    bars = np.repeat(close[:, None, None], 5, axis=2)
    known = np.ones((len(close), 1), dtype=bool) if tradable is None else tradable[:, None]
    return Market(("X",), weekdays(len(close)), bars, known, np.zeros(len(close), dtype=np.int64), "D1", 261.0)


def scaled(market: Market, train: int, half_life: float = 60.0) -> np.ndarray:
    inside = np.arange(len(market.time)) < train
    scale = fit_scale(market, inside, "ewma", half_life)
    return point_volatility(market, scale, "ewma", half_life)[:, 0]


def test_ewma_is_the_recursion_with_a_fading_prior():
    rng = Streams(0).rng("walk")
    close = 100 + np.cumsum(rng.standard_normal(300))
    market = market_of(close)
    inside = np.arange(300) < 200
    scale = fit_scale(market, inside, "ewma", 30.0)
    found = point_volatility(market, scale, "ewma", 30.0)[:, 0]
    returns = np.abs(np.diff(close[:200]) / np.abs(close[:199]))
    prior = 1.4826 * np.median(returns) * close[0]
    theta, total, weight = 2 ** (-1 / 30.0), 20 * prior**2, 20.0
    assert np.isclose(found[0], prior)
    for t in range(1, 300):
        total, weight = theta * total + (close[t] - close[t - 1]) ** 2, theta * weight + 1
        assert np.isclose(found[t], np.sqrt(total / weight))


def test_ewma_follows_the_size_of_moves_through_zero_and_below():
    rng = Streams(1).rng("walk")
    size = np.repeat([1.0, 3.0], 1000)
    close = 5 + np.cumsum(size * rng.standard_normal(2000))
    assert close.min() < 0
    found = scaled(market_of(close), 800)
    assert abs(found[500:1000].mean() - 1.0) < 0.15 and abs(found[1500:].mean() - 3.0) < 0.4


def test_it_never_falls_below_a_twentieth_of_the_usual():
    rng = Streams(2).rng("walk")
    close = 100 + np.cumsum(np.where(np.arange(3000) < 1000, rng.standard_normal(3000), 0.0))
    found = scaled(market_of(close), 1000)
    assert np.isclose(found[-1], 0.05 * np.median(found[:1000]), rtol=1e-6)


def test_absent_bars_do_not_calm_it():
    rng = Streams(3).rng("walk")
    moves = rng.standard_normal(800)
    full = 100 + np.cumsum(moves)
    known = np.repeat([True, False], 800)
    close = np.repeat(full, 2)
    gaps = np.tile([True, False], 800)
    assert known.sum() == 800
    assert np.isclose(scaled(market_of(close, gaps), 1600)[::2][-1], scaled(market_of(full), 800)[-1])


def test_moves_are_scaled_by_what_was_known_a_bar_before():
    close = np.array([1.0, 2.0, 4.0, 3.0])
    market = market_of(close)
    volatility = np.array([[0.5], [1.0], [2.0], [9.0]])
    assert scaled_moves(market, volatility)[:, 0].tolist() == [0.0, 2.0, 2.0, -0.5]


def test_age_restarts_with_every_history():
    market = market_of(np.arange(1.0, 6.0))
    split = Market(("X",), market.time, market.ohlcv, market.tradable, np.array([0, 0, 0, 1, 1]), "D1", 261.0)
    assert history_age(split).tolist() == [0, 1, 2, 0, 1]
