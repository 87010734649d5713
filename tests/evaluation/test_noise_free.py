"""The noise-free score of books and backtests, and the ratios that compare them."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.evaluation.oracles.books import book_of_result, changes, follow, scored_bars
from mtquant.evaluation.oracles.noise_free import (
    NoiseFreeScore,
    captured_gain,
    mean_utility,
    score_book,
    score_result,
    share,
)
from mtquant.evaluation.oracles.policies import build_oracle
from mtquant.evaluation.result import BacktestResult
from mtquant.synthetic import Planted
from mtquant.synthetic.embedded import EmbeddedParams, generate_paths
from mtquant.types import Float

WARMUP, PATHS, BARS = 150, 40, 650


@pytest.fixture(scope="module")
def paths() -> Planted:
    return generate_paths(EmbeddedParams(), Streams(41), PATHS, BARS)


@pytest.fixture(scope="module")
def scores(paths: Planted) -> dict[str, NoiseFreeScore]:
    policies = {name: build_oracle(name, paths) for name in ("equal", "phase2", "joint")}
    return {
        name: score_book(follow(policy, paths.market, WARMUP), paths.market, paths.truth, WARMUP)
        for name, policy in policies.items()
    }


def result_of(book: Float, planted: Planted) -> BacktestResult:
    """Return the frictionless backtest of `book`, one pass per history."""
    bounds = planted.market.history_bounds()
    bars = np.stack([np.arange(start + WARMUP, stop - 1) for start, stop in bounds], axis=1)
    shape, truth = bars.shape, planted.truth
    none, one = np.zeros((*shape, len(truth.symbols))), np.ones(shape, dtype=bool)
    return BacktestResult(
        "book",
        truth.symbols,
        truth.groups,
        truth.group_of,
        planted.market.time[bars + 1],
        bars,
        one,
        np.ones((shape[0] + 1, shape[1])),
        none,
        none,
        book[bars],
        changes(planted.market, book)[bars],
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape, dtype=int),
        np.zeros(shape, dtype=int),
        260.0,
    )


def test_a_result_scores_like_its_book_and_gives_it_back(paths):
    book = follow(build_oracle("joint", paths), paths.market, WARMUP)
    result = result_of(book, paths)
    left, right = score_book(book, paths.market, paths.truth, WARMUP), score_result(result, paths.truth)
    for name in ("gross", "risk", "cost", "bars"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-12)
    inside = scored_bars(paths.market, WARMUP)
    assert np.array_equal(book_of_result(result, len(book))[inside], book[inside])
    # An estimate of volatility 2 % too high makes recorded exposures 2 % too large.
    recorded = replace(result, exposure=result.exposure * 1.02)
    again = score_result(recorded, paths.truth, np.full(8, 1 / 1.02))
    np.testing.assert_allclose(again.gross, left.gross, rtol=1e-12)
    short = replace(result, alive=result.alive & (np.arange(len(result.bar)) < 300)[:, None])
    assert score_result(short, paths.truth).bars.tolist() == [300.0] * PATHS


def test_one_instrument_is_scored_alone(paths):
    book = follow(build_oracle("phase1", paths), paths.market, WARMUP)
    result = result_of(book, paths)
    slots = np.arange(PATHS)[:, None] % 8
    single = replace(
        result,
        exposure=np.take_along_axis(result.exposure, slots[None], axis=2),
        trade=np.take_along_axis(result.trade, slots[None], axis=2),
    )
    found = score_result(single, paths.truth, slots=slots)
    for k in (0, 5):
        alone = score_book(book, paths.market, paths.truth, WARMUP, instrument=k)
        np.testing.assert_allclose(alone.episodes[k::8], found.episodes[k::8], rtol=1e-12)
        bars, history = np.arange(WARMUP, BARS - 1), k  # pass k holds instrument k
        x = book[history * BARS + bars, k]
        cost = 0.4 * np.sum(np.diff(x, prepend=0.0) ** 2)
        edge = paths.truth.alpha[history * BARS + bars, k]
        assert found.episodes[k] == pytest.approx(x @ edge - 0.5 * paths.objective.g * x @ x - cost)


def test_score_is_the_stated_utility(paths):
    book = follow(build_oracle("equal", paths), paths.market, WARMUP)
    truth, total = paths.truth, 0.0
    for bar in range(WARMUP, BARS - 1):
        change = book[bar] - (book[bar - 1] if bar > WARMUP else 0.0)
        total += book[bar] @ truth.alpha[bar] - 0.062017 * book[bar] @ truth.correlation @ book[bar]
        total -= 0.4 * change @ change
    assert score_book(book, paths.market, truth, WARMUP).episodes[0] == pytest.approx(total, rel=1e-5)


def test_shares_and_gains_are_ratios_of_means(scores):
    policy, reference = scores["phase2"], scores["joint"]
    found = share(policy, reference)
    assert found.value == pytest.approx(policy.utility / reference.utility)
    rng = np.random.Generator(np.random.PCG64(3))
    rows = rng.integers(0, PATHS, (4000, PATHS))
    drawn = policy.episodes[rows].mean(axis=1) / reference.episodes[rows].mean(axis=1)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * drawn.std(), rel=0.15)
    gain = captured_gain(scores["phase2"], scores["equal"], scores["joint"])
    expected = (policy.utility - scores["equal"].utility) / (reference.utility - scores["equal"].utility)
    assert gain.value == pytest.approx(expected)
    assert captured_gain(reference, scores["equal"], reference).value == pytest.approx(1.0)
    mean = mean_utility(policy)
    assert mean.value == pytest.approx(policy.utility) and mean.low < policy.utility < mean.high
