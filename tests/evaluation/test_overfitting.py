"""The probability of backtest overfitting: by hand on two blocks, on noise, on one real signal among noise."""

from itertools import combinations

import numpy as np
import pytest

from mtquant.evaluation.overfitting import overfitting


def by_hand(returns, blocks):
    """The definition, way by way."""
    parts = np.array_split(returns[len(returns) % blocks :], blocks)
    below = []
    for inside in combinations(range(blocks), blocks // 2):
        within = np.concatenate([parts[i] for i in inside])
        without = np.concatenate([parts[i] for i in range(blocks) if i not in inside])
        best = int(np.argmax(within.mean(axis=0) / within.std(axis=0)))
        ratios = without.mean(axis=0) / without.std(axis=0)
        rank = 1 + int((ratios < ratios[best]).sum())
        below.append(rank / (len(ratios) + 1) <= 0.5)
    return float(np.mean(below))


@pytest.mark.parametrize(("bars", "trials", "blocks"), [(61, 7, 4), (100, 5, 6), (96, 2, 8)])
def test_it_is_its_definition(bars, trials, blocks):
    returns = np.random.default_rng(bars).standard_normal((bars, trials))
    found = overfitting(returns, blocks)
    assert found.probability == by_hand(returns, blocks)
    assert found.trials == trials


def test_noise_is_overfitted_half_of_the_time():
    rng = np.random.default_rng(0)
    assert overfitting(rng.standard_normal((640, 30))).ways == 12_870
    found = [overfitting(rng.standard_normal((640, 30)), 8) for _ in range(200)]
    assert np.mean([f.probability for f in found]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([f.loss for f in found]) == pytest.approx(0.5, abs=0.04)


def test_one_real_signal_among_noise_is_not():
    returns = np.random.default_rng(1).standard_normal((1280, 30))
    returns[:, 7] += 0.2
    found = overfitting(returns)
    assert found.probability < 0.02
    assert found.loss < 0.02


def test_equal_trials_are_in_the_middle():
    returns = np.repeat(np.random.default_rng(2).standard_normal((128, 1)), 4, axis=1)
    assert overfitting(returns).probability == 1.0
    flat = np.zeros((128, 3))
    assert overfitting(flat).loss == 0.0


@pytest.mark.parametrize(("shape", "blocks"), [((100, 1), 4), ((100, 3), 5), ((15, 3), 4)])
def test_too_little_is_refused(shape, blocks):
    with pytest.raises(ValueError, match="Two trials"):
        overfitting(np.zeros(shape), blocks)
