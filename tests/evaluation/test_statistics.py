"""Intervals: coverage, pairing, independence of passes, determinism, and when there is none."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mtquant import metrics
from mtquant.evaluation.dependence import mean_error
from mtquant.evaluation.statistics import (
    FEWEST,
    Interval,
    block_length,
    bootstrap,
    mean_interval,
    proportion,
    ratio_of_means,
    sharpe_interval,
)
from mtquant.types import Float


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_mean_is_covered_as_often_as_stated() -> None:
    source, hits, trials = rng(1), 0, 120
    for trial in range(trials):
        passes = [source.standard_normal(120) for _ in range(2)]
        hits += mean_interval(passes, 1.0, rng(trial), samples=200).covers(0.0)
    assert 0.86 <= hits / trials <= 0.99


def test_dependence_widens_the_interval() -> None:
    noise = rng(2).standard_normal(2_000)
    slow = np.convolve(noise, np.ones(20), mode="valid")
    slow = slow / slow.std() * noise.std()
    wide, narrow = (mean_interval([s], 1.0, rng(), samples=300) for s in (slow, noise))
    assert block_length([slow[:, None]]) > 2 * block_length([noise[:, None]])
    assert wide.high - wide.low > 2.0 * (narrow.high - narrow.low)


def test_the_sharpe_interval_matches_its_standard_error() -> None:
    returns = 0.01 * rng(3).standard_normal(2_600) + 0.0005
    found = sharpe_interval([returns], 260.0, rng(), samples=600)
    error = float(metrics.sharpe_standard_error(returns, 260.0))
    assert found.value == pytest.approx(float(metrics.sharpe(returns, 260.0)))
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1.0, abs=0.15)


def test_passes_are_drawn_apart() -> None:
    lengths = (30, 50)
    passes = [
        np.full((length, 1), float(number)) + 1e-3 * rng().standard_normal((length, 1))
        for number, length in enumerate(lengths)
    ]

    def statistic(drawn: list[Float]) -> Float:
        assert [len(p) for p in drawn] == list(lengths)
        return np.array([np.ptp(np.round(p)) for p in drawn])

    assert all(i.low == i.high == 0.0 for i in bootstrap(passes, statistic, rng(), samples=20))


def test_columns_are_drawn_together() -> None:
    series = rng(4).standard_normal((200, 1))
    pairs = [np.concatenate([series + 0.1, series], axis=1)]

    def apart(drawn: list[Float]) -> Float:
        return np.concatenate(drawn).mean(axis=0)[:1] - np.concatenate(drawn).mean(axis=0)[1:]

    found = bootstrap(pairs, apart, rng(), samples=50)[0]
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)


def test_errors_say_how_far_a_number_strays() -> None:
    """Errors that are all alike reflect the percentiles; only their ratios matter."""
    series = np.exp(rng(8).standard_normal(400))[:, None]

    def mean(drawn: list[Float]) -> Float:
        return np.concatenate(drawn).mean(axis=0)

    def alike(drawn: list[Float]) -> Float:
        return np.array([3.0])

    def halved(drawn: list[Float]) -> Float:
        return 0.5 * mean_error(drawn)

    plain = bootstrap([series], mean, rng(), samples=80)[0]
    reflected = bootstrap([series], mean, rng(), samples=80, errors=alike)[0]
    assert reflected.low == pytest.approx(2.0 * plain.value - plain.high)
    assert reflected.high == pytest.approx(2.0 * plain.value - plain.low)
    own, scaled = (bootstrap([series], mean, rng(), samples=80, errors=e)[0] for e in (mean_error, halved))
    assert own.low == pytest.approx(scaled.low)
    assert own.high == pytest.approx(scaled.high)
    assert own != reflected


def test_a_number_without_an_error_has_percentiles() -> None:
    series = rng(9).standard_normal((100, 1))

    def mean(drawn: list[Float]) -> Float:
        return np.concatenate(drawn).mean(axis=0)

    def none(drawn: list[Float]) -> Float:
        return np.array([np.nan])

    assert bootstrap([series], mean, rng(), samples=60, errors=none) == bootstrap([series], mean, rng(), samples=60)


def test_equal_seeds_give_equal_intervals() -> None:
    series = rng(5).standard_normal(300)
    first, second, other = (mean_interval([series], 1.0, rng(seed), samples=50) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_little_or_constant_data_have_no_interval() -> None:
    short = mean_interval([rng().standard_normal(FEWEST - 1)], 1.0, rng(), samples=20)
    assert math.isfinite(short.value)
    assert not short.known
    flat = sharpe_interval([np.zeros(100)], 260.0, rng(), samples=20)
    assert math.isnan(flat.value)
    assert not flat.known
    assert flat.covers(1e9)
    assert math.isnan(mean_interval([np.empty(0)], 1.0, rng(), samples=20).value)


@given(st.integers(1, 400), st.floats(0.0, 1.0))
@settings(max_examples=50, deadline=None)
def test_wilson_inverts_the_score_test(trials: int, part: float) -> None:
    won = round(part * trials)
    found = proportion(won, trials)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    for edge in (found.low, found.high):
        if 0.0 < edge < 1.0 and edge != found.value:
            score = abs(won / trials - edge) / math.sqrt(edge * (1 - edge) / trials)
            assert score == pytest.approx(float(norm.ppf(0.975)), rel=1e-6)


def test_a_share_of_nothing_is_unknown() -> None:
    assert math.isnan(proportion(0, 0).value)
    assert not proportion(0, 0).known


@given(st.floats(0.2, 3.0), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_an_exact_multiple_has_no_spread(factor: float, seed: int) -> None:
    bottom = 1.0 + 0.1 * rng(seed).standard_normal(50)
    found = ratio_of_means(factor * bottom, bottom)
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


def test_the_ratio_is_covered_as_often_as_stated() -> None:
    source, hits, trials = rng(6), 0, 400
    for _ in range(trials):
        bottom = 1.0 + 0.5 * source.standard_normal(80)
        top = 0.7 * bottom + 0.2 * source.standard_normal(80)
        hits += ratio_of_means(top, bottom).covers(0.7)
    assert 0.91 <= hits / trials <= 0.98


def test_a_ratio_over_nothing_is_unknown() -> None:
    noise = rng(7).standard_normal(50)
    assert not ratio_of_means(noise + 1.0, noise).known
    assert math.isnan(ratio_of_means(noise, np.zeros(50)).value)
    assert not ratio_of_means(np.ones(1), np.ones(1)).known
    with pytest.raises(ValueError, match="equal shapes"):
        ratio_of_means(np.ones(2), np.ones(3))


def test_an_interval_covers_its_ends() -> None:
    found = Interval(0.5, 0.0, 1.0)
    assert found.covers(0.0)
    assert found.covers(1.0)
    assert not found.covers(1.0 + 1e-12)
