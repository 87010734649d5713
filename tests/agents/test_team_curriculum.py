"""Teams under a curriculum: every row's episodes get a scenario of their own, and the log says which were asked for."""

import numpy as np
import pytest

from mtquant.agents.training.curriculum_learning import LOG, read_log, replay
from mtquant.agents.training.pettingzoo_mappo_trainer import PettingZooMAPPOTrainer
from mtquant.config.curriculum import CurriculumSpec
from mtquant.context import Streams
from mtquant.envs.games.joint import JointTrainingEnv
from mtquant.envs.market_team import MarketTeam
from mtquant.envs.scenario import REAL_TASK, Scenario
from mtquant.errors import Preempted, UsageError
from tests.agents.made import Stop, handle_of
from tests.agents.teams import settings
from tests.envs.teams import Duel
from tests.tiny import tiny_dataset, tiny_spec

STEPS = 4 * 4 * 8
SCHEDULE = CurriculumSpec(cost_scale=(2.0, 1.0), volatility_scale=(1.0, 1.0), episode_scale=(0.1, 1.0), until=(0.5,))
UNIFORM = CurriculumSpec(kind="uniform", real_share=0.25)


def joint() -> JointTrainingEnv:
    dataset = tiny_dataset()
    return JointTrainingEnv(dataset, tiny_spec(), dataset.splits.train)


def trained(root, curriculum, stop=None, shards=2):
    config = settings(env_factory=joint, total_steps=STEPS, rollout_shards=shards, curriculum=curriculum)
    handle = handle_of(root, "mappo-market", stop=stop)
    PettingZooMAPPOTrainer(config, handle).train()
    return handle


def test_rows_play_under_their_own_scenario():
    team = MarketTeam(joint().batch(3, Streams(0).rng("rows")))
    given = [REAL_TASK, Scenario(cost_scale=3.0), Scenario(volatility_scale=0.5, episode_scale=0.25)]
    team.begin_scenarios(given)
    team.reset()
    sim = team.view.engine.sim
    assert np.asarray(sim.state.cost_scale).tolist() == [1.0, 3.0, 1.0]
    assert np.asarray(sim.state.move_scale).tolist() == [1.0, 1.0, 0.5]
    team.begin_scenarios([Scenario(cost_scale=5.0)] * 3)
    team.restart(np.array([True, False, False]))
    assert np.asarray(sim.state.cost_scale).tolist() == [5.0, 3.0, 1.0], "episodes that run keep their scenario"


def test_levels_go_by_the_share_of_the_training(tmp_path):
    handle = trained(tmp_path, SCHEDULE)
    levels = [line.metrics["curriculum/level"] for line in handle.unit.journal.read()]
    assert levels == [0.0, 1.0, 1.0, 1.0]
    log = read_log(handle.outputs / LOG)
    assert replay(log) == [(500, 1)]


def test_drawn_scenarios_resume_and_can_be_replayed(tmp_path):
    straight = trained(tmp_path / "straight", UNIFORM)
    with pytest.raises(Preempted):
        trained(tmp_path / "stopped", UNIFORM, Stop(2))
    resumed = trained(tmp_path / "stopped", UNIFORM)
    logs = [read_log(handle.outputs / LOG) for handle in (straight, resumed)]
    assert logs[0] == logs[1]
    # a scenario per row and rollout, until the real task begins
    assert [line["started"] for line in logs[0][1:]] == [4, 4, 4]
    assert [level for _, level in replay(logs[0])] == [0, 0, 1]
    (_, one), (_, two) = (handle.load_checkpoint() for handle in (straight, resumed))
    assert set(one.arrays) == set(two.arrays)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(two.arrays[name], array, err_msg=name)


def test_an_environment_without_scenarios_refuses_a_curriculum():
    with pytest.raises(UsageError, match="no scenarios.*leave `curriculum` out"):
        PettingZooMAPPOTrainer(settings(env_factory=Duel, total_steps=32, curriculum=SCHEDULE)).train()
