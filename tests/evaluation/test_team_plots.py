"""Pictures of a team's training: they are drawn from what there is, and the same data give the same bytes."""

import io

import matplotlib.image
import numpy as np
import pytest

from mtquant.evaluation.team_history import RewardHistory, agreement
from mtquant.evaluation.team_plots import draw_agents, draw_all, draw_coordination, draw_training


def history(rollouts: int = 30, agents: int = 3) -> RewardHistory:
    rng = np.random.Generator(np.random.PCG64(0))
    rewards = rng.standard_normal((rollouts, agents)).cumsum(axis=0)
    return RewardHistory(tuple(f"agent_{i}" for i in range(agents)), np.arange(1, rollouts + 1) * 1000, rewards)


def size(picture: bytes) -> tuple[int, ...]:
    return matplotlib.image.imread(io.BytesIO(picture)).shape[:2]


def test_every_agent_has_a_panel():
    assert size(draw_agents(history(agents=5)))[0] > 2 * size(draw_agents(history(agents=2)))[0]


def test_agreement_is_the_share_of_equal_choices():
    choices = {"a": np.array([[0], [1], [2], [2]]), "b": np.array([[0], [1], [0], [2]]), "c": np.full((4, 1), 3)}
    np.testing.assert_array_equal(agreement(choices), [[1.0, 0.75, 0.0], [0.75, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_agreement_is_drawn_where_it_is_known():
    alone, both = draw_coordination(history()), draw_coordination(history(), np.eye(3))
    assert size(both)[1] > 1.5 * size(alone)[1]


@pytest.mark.parametrize("rollouts", [0, 1, 2, 30])
def test_little_is_drawn_too_and_repeats_itself(rollouts):
    told = {"history": [{"step": 1000, "reward": 1.5}, {"step": 2000, "reward": None}], "best_step": 1000}
    found = draw_all(history(rollouts), told)
    assert set(found) == {"training.png", "agent_rewards.png", "coordination.png"}
    assert found == draw_all(history(rollouts), told)


def test_measurements_and_the_best_are_in_the_picture():
    plain, measured = draw_training(history()), draw_training(history(), [(5000, 1.0), (9000, 2.0)], 9000)
    assert plain != measured != draw_training(history(), [(5000, 1.0), (9000, 2.0)], 5000)
