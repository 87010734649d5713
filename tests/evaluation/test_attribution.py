"""Shapley values: against the definition, and sums over every part of time and market."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.evaluation.attribution import SESSIONS, attribute, cells_of, shapley
from tests.evaluation.made import DAY, SYMBOLS, made_result


def by_orders(values):
    """The definition: what a player adds, averaged over all orders in which players join."""
    players = len(values).bit_length() - 1
    out = np.zeros((players, *values.shape[1:]))
    for order in permutations(range(players)):
        coalition = 0
        for player in order:
            out[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    return out / math.factorial(players)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_it_is_the_mean_over_all_orders(players, seed):
    values = np.random.default_rng(seed).standard_normal((1 << players, 3))
    found = shapley(values)
    np.testing.assert_allclose(found, by_orders(values), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), values[-1] - values[0], atol=1e-12)


def test_a_player_that_changes_nothing_is_worth_nothing():
    values = np.random.default_rng(1).standard_normal(8)
    values[4:] = values[:4]
    assert shapley(values)[2] == 0.0
    with pytest.raises(ValueError, match="subsets"):
        shapley(np.zeros(6))


def made_cells(result):
    time = (np.arange(result.bar.max() + 2) + 10_000) * DAY
    regime = ["calm" if t % 3 else "wild" for t in range(len(time))]
    return cells_of(result, regime, time)


def test_everything_adds_up():
    results = [made_result(f"r{i}", i, lengths=(300, 180)) for i in range(8)]
    cells = made_cells(results[0])
    profits = np.array([cells.sums(r) for r in results])
    profits[0] = 0.0
    capital = 200_000.0
    found = attribute("phase3", ("a", "b", "c"), SYMBOLS, cells, profits, capital)
    last = results[-1]
    earned = sum(float(last.equity[-1, n] - last.equity[0, n]) for n in range(2)) / capital
    assert found.total == pytest.approx(earned, abs=1e-9)
    assert sum(found.by_player.values()) == pytest.approx(earned, abs=1e-9)
    for parts in (found.by_instrument, found.by_year, found.by_regime, found.by_session):
        for player, worth in found.by_player.items():
            assert sum(parts[player].values()) == pytest.approx(worth, abs=1e-9)
    assert set(found.by_regime["a"]) == {"calm", "wild"}
    assert set(found.by_year["a"]) == {"1997", "1998"}


def test_a_bar_belongs_to_the_year_in_which_it_was_earned():
    result = made_result("r", 0, passes=1)
    cells = made_cells(result)
    years = [cells.names[c][0] for c in cells.of_bar[result.bar[:, 0]]]
    expected = (result.bar[:, 0] + 10_001).astype("datetime64[D]").astype("datetime64[Y]").astype(str)
    assert years == expected.tolist()
    assert cells.of_bar[-1] == -1


def test_every_hour_is_in_one_session():
    result = made_result("r", 0, passes=1, bars=48)
    time = np.arange(60, dtype=np.int64) * (DAY // 24)
    cells = cells_of(result, ["x"] * 60, time)
    hours = (np.arange(48) + 1) % 24
    for hour, cell in zip(hours, cells.of_bar[:48], strict=True):
        start, stop = SESSIONS[cells.names[cell][2]]
        assert (start <= hour < stop) if start < stop else (hour >= start or hour < stop)
