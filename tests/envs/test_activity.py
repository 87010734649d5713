"""What accounts did over a rollout."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.activity import Activity
from mtquant.envs.vec_env import VecMarketEnv
from tests.envs.made import MADE, engine_of
from tests.tiny import tiny_dataset, tiny_spec


def test_sizes_and_trades_are_means_over_rows_and_bars():
    activity = Activity()
    activity.add(np.array([[1.0, -1.0], [0.0, 0.5]]), np.array([[0.5, 0.0], [0.0, -0.5]]))
    activity.add(np.array([[0.0, 0.0], [0.0, 0.0]]), np.zeros((2, 2)))
    found = activity.take()
    assert found == {"exposure_size": 2.5 / 8, "turnover_per_bar": 1.0 / 8, "exposure_common": 5 / 8}


def test_it_starts_again_when_taken():
    activity = Activity()
    activity.add(np.ones((3, 1)), np.ones((3, 1)))
    assert activity.take()["exposure_common"] == 1.0
    assert activity.take() == {}


def test_a_spread_of_exposures_has_no_common_one():
    activity = Activity()
    activity.add(Streams(0).rng("x").standard_normal((5000, 1)), np.zeros((5000, 1)))
    assert activity.take()["exposure_common"] < 0.02


@pytest.mark.parametrize("action", [1.0, -1.0])
def test_a_policy_at_its_bound_is_stuck_where_it_may_not_go_further(action):
    dataset, spec = tiny_dataset(), tiny_spec()
    env = VecMarketEnv(engine_of(MADE["specialist"](dataset, spec), 8), "forex")
    env.reset()
    for _ in range(55):
        env.step(np.full((8, 1), action))
    env.activity.take()
    # between restarts; a new episode approaches the bound again
    for _ in range(3):
        env.step(np.full((8, 1), action))
    found = env.activity.take()
    assert found["exposure_size"] > 0.5
