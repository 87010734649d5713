"""Statistics over seeds: definitions, closed cases, coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtquant.context import Streams
from mtquant.evaluation.seeds import interquartile_mean, stratified_interval

SCORES = arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.floats(-10, 10))


def rng_of(seed=0):
    return Streams(seed).rng("seeds")


def test_the_middle_half_counts():
    assert interquartile_mean(np.array([-100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6])) == 3.5
    # of five scores one is cut off at each end
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 4.0, 99.0])) == pytest.approx(7.0 / 3.0)
    assert math.isnan(interquartile_mean(np.empty(0)))


@given(SCORES)
def test_it_lies_between_the_scores_and_does_not_mind_their_order(scores):
    found = interquartile_mean(scores.ravel())
    assert scores.min() - 1e-9 <= found <= scores.max() + 1e-9
    assert found == pytest.approx(interquartile_mean(scores.ravel()[::-1]))


@given(SCORES)
def test_the_interval_lies_between_the_scores(scores):
    found = stratified_interval(scores, rng_of(), samples=50)
    if len(scores) < 2:
        assert not found.known
    else:
        assert scores.min() - 1e-9 <= found.low <= found.high <= scores.max() + 1e-9


def test_equal_seeds_leave_nothing_open():
    found = stratified_interval(np.full((5, 1), 0.7), rng_of())
    assert found.low == found.high == pytest.approx(0.7)


def test_tasks_are_strata():
    """Tasks of different levels do not widen the interval: runs are drawn within each."""
    rng = rng_of(1)
    noise = 0.01 * rng.standard_normal((10, 4))
    found = stratified_interval(np.array([0.0, 10.0, 20.0, 30.0]) + noise, rng)
    assert found.high - found.low < 0.02


def test_what_did_not_finish_has_no_interval():
    assert not stratified_interval(np.array([[1.0], [math.nan]]), rng_of()).known


def test_the_interval_covers_what_it_should():
    """Ten runs of a normal score: the interval is a little narrow, as bootstraps of few runs are."""
    rng = rng_of(2)
    covered = [stratified_interval(rng.standard_normal((10, 3)), rng, samples=200).covers(0.0) for _ in range(300)]
    assert 0.85 < np.mean(covered) < 0.99
