"""Episodes are told apart and added up exactly; a performance means what its documentation says."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mtquant.agents.training.evidence import Sums, Visits, mean, performance
from mtquant.context import Streams


def sums_of(values: np.ndarray) -> Sums:
    return Sums(len(values), float(values.sum()), float((values * values).sum()))


def test_a_performance_is_the_normal_probability_of_the_t_statistic():
    values = Streams(0).rng("x").normal(0.1, 1.0, 200)
    t = values.mean() / (values.std(ddof=1) / np.sqrt(200))
    assert performance(sums_of(values)) == pytest.approx(norm.cdf(t), rel=1e-9)


def test_without_an_edge_performances_are_uniform_and_the_documents_thresholds_are_not_met():
    rng = Streams(1).rng("x")
    lucky = np.array([performance(sums_of(rng.normal(0.0, 1.0, 250))) for _ in range(4000)])
    assert lucky.mean() == pytest.approx(0.5, abs=0.02)
    assert lucky.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    skilled = np.array([performance(sums_of(rng.normal(0.15, 1.0, 250))) for _ in range(4000)])
    assert skilled.mean() > 0.9
    assert skilled.std() < 0.2


@pytest.mark.parametrize(
    ("values", "expected"), [([], 0.5), ([3.0], 0.5), ([0.0, 0.0], 0.5), ([2.0, 2.0], 1.0), ([-2.0, -2.0], 0.0)]
)
def test_performances_of_episodes_that_say_little(values, expected):
    assert performance(sums_of(np.array(values))) == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 5), rollouts=st.integers(1, 4))
def test_every_bar_is_counted_for_the_episode_it_was_played_in(seed, rows, rollouts):
    """Against a plain account per row, with ends at random bars and the state sent through JSON in between."""
    rng = Streams(seed).rng("x")
    visits = Visits(rows)
    visits.begin(np.arange(rows), list(range(rows)))
    tags, books, begun = list(range(rows)), [[] for _ in range(rows)], list(range(rows))
    expected, found, count = [], [], rows
    for _ in range(rollouts):
        over = []
        for _ in range(rng.integers(1, 6)):
            values = rng.normal(size=rows)
            visits.bar(values)
            for row in range(rows):
                books[row].append(values[row])
            ends = np.flatnonzero(rng.random(rows) < 0.3)
            new = rng.integers(0, 100, len(ends)).tolist()
            visits.begin(ends, new)
            for row, tag in zip(ends, new, strict=True):
                over.append((begun[row], tags[row], float(np.mean(books[row]))))
                tags[row], books[row], begun[row] = tag, [], count
                count += 1
        expected += [(tag, pytest.approx(value)) for _, tag, value in sorted(over)]
        found += [tuple(one) for one in visits.ended(mean)]
        again = Visits(rows)
        again.load_state_dict(json.loads(json.dumps(visits.state_dict())))
        visits = again
    assert found == expected


def test_figures_can_be_known_later_than_their_bars():
    visits = Visits(2)
    visits.begin(np.array([0, 1]), [7, 8])
    visits.bar(np.zeros(2))
    visits.begin(np.array([1]), [9])
    visits.bar(np.zeros(2))
    visits.begin(np.array([0, 1]), [-1, -1])
    visits.replace(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert visits.ended(mean) == [(7, 2.0), (8, 2.0), (9, 4.0)]
    assert visits.ended(mean) == []
