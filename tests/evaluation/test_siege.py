"""Ten thousand adversarial paths: no limit is exceeded before the fact, and the breakers act when they must."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.evaluation import siege
from mtquant.evaluation.siege import Attack, besiege, crash_dataset, obeyed
from mtquant.sim.simulator import MarketSim
from tests.tiny import tiny_spec


@pytest.fixture(scope="module")
def found():
    return besiege(tiny_spec(), Streams(0).rng("siege"), paths=10_000)


def test_no_limit_is_exceeded_before_the_fact(found):
    assert found.paths == 10_000
    assert found.decisions > 500_000
    assert found.breaches == 0
    assert found.wrong_levels == 0
    assert found.tripped > 5_000


def test_protection_saves_more_than_it_costs(found):
    assert found.kept_with > max(found.kept_without, 0.5)
    assert found.worst_day_with < found.worst_day_without
    assert found.ruined_with < 0.05 * found.ruined_without
    assert 0.0 < found.growth_with <= found.growth_without


def test_an_exposure_beyond_a_limit_is_seen():
    dataset = crash_dataset(tiny_spec(), Streams(0).rng("siege"))
    limits = MarketSim(dataset, tiny_spec(), rows=1, slots=4).limits
    small, large = np.full((1, 4), 0.1), np.full((1, 4), 3.0)
    assert obeyed(small, limits).all()
    assert not obeyed(large, limits).any()
    assert not obeyed(large, replace(limits, max_value_at_risk=9.0, max_correlation_exposure=1.0)).any()


def test_a_layer_that_lets_through_is_found(monkeypatch):
    """The count is of what is held, not of what the layer says of itself."""
    monkeypatch.setattr("mtquant.sim.kernel.project", lambda x, factor, limits, xp: x)
    assert besiege(tiny_spec(), Streams(0).rng("siege"), paths=50).breaches > 100


def test_what_the_adversary_wishes():
    coming, side = np.array([[1.0, -2.0]]), np.array([[1.0, -1.0]])
    attack = Attack(np.zeros(6, int), np.ones(6), np.arange(6), np.repeat(side, 6, axis=0), 0)
    wishes = attack.wish(1, np.repeat(coming, 6, axis=0), np.array([False] * 4 + [True, False]))
    np.testing.assert_array_equal(wishes[siege.AGAINST], [-50, 50])
    np.testing.assert_array_equal(wishes[siege.ALTERNATING], [-50, 50])
    np.testing.assert_array_equal(wishes[siege.DOUBLING], [50, -50])
    np.testing.assert_array_equal(wishes[siege.RIGHT], [0.5, -0.5])
