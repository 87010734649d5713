"""Both sides of a comparison play the same game, and the race is judged fairly."""

import math
import time

import numpy as np
import pytest

from benchmarks.breakdown import measure_breakdown
from benchmarks.markets import embedded
from benchmarks.optimum import DOCUMENTED, Referee
from benchmarks.simulator import ROWS, measure_simulator
from benchmarks.training import learner, ordinary_rows, specialist_rows, speed_of
from mtquant.config.load import load_pipeline
from mtquant.context import Streams
from mtquant.sim.simulator import Episode


@pytest.fixture(scope="module")
def setting():
    return embedded()


@pytest.fixture
def two_rows(setting):
    """Hyper-parameters of two rows that learn in no time."""
    small = {"n_envs": 2, "n_steps": 8, "batch_size": 16, "n_epochs": 1, "noise_baseline": False}
    return setting.spec.phase1.ppo.model_copy(update=small)


def test_ordinary_environments_play_the_same_game_as_our_rows(setting, two_rows):
    ours, theirs = specialist_rows(setting, two_rows), ordinary_rows(setting, two_rows)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ours.reset()
    theirs.reset()
    starts = np.array([300, 900])
    ones = np.ones(2)
    ours.engine.begin_episode(Episode(starts, starts + 40, np.array([[0], [2]]), ones, ones))
    for row, env in enumerate(theirs.envs):
        begin, slot = starts[row : row + 1], np.array([[0], [2]])[row : row + 1]
        env.engine.begin_episode(Episode(begin, begin + 40, slot, ones[:1], ones[:1]))
    rng = Streams(5).rng("actions")
    for _ in range(39):
        action = rng.uniform(-1, 1, (2, 1)).astype(np.float32)
        mine, paid, done, _ = ours.step(action)
        other, earned, ended, _ = theirs.step(action)
        np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(paid, earned)
        assert not done.any() and not ended.any()


def test_every_iteration_is_timed_but_the_first(setting, two_rows):
    speed = speed_of(setting, specialist_rows(setting, two_rows), two_rows, 3)
    assert len(speed.rollouts) == len(speed.updates) == len(speed.rates) == 3
    assert min(speed.rollouts) > 0 and min(speed.updates) > 0


@pytest.mark.parametrize(
    ("scores", "reached_at"),
    [([0.5, 0.95, 0.92, 0.99], 2), ([0.95, 0.5, 0.91, 0.9], 3), ([0.95, 0.5, 0.95, 0.5], None)],
)
def test_the_race_ends_at_the_first_of_two_scores_at_the_goal(setting, two_rows, scores, reached_at):
    left = iter(scores)
    every = two_rows.n_envs * two_rows.n_steps
    referee = Referee(lambda model: next(left, 0.0), every, cap_seconds=60.0)
    learner(setting, specialist_rows(setting, two_rows), two_rows, 100 * every).learn(6 * every, callback=referee)
    result = referee.result()
    if reached_at is None:
        assert math.isinf(result.seconds)
        assert result.best == 0.95
    else:
        assert result.steps == reached_at * every
        assert 0 < result.seconds < result.spent
        assert len(referee.seen) == reached_at + 1


def test_scoring_is_off_the_clock(setting, two_rows):
    every = two_rows.n_envs * two_rows.n_steps

    def slow(model):
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        return 0.0

    referee = Referee(slow, every, cap_seconds=60.0)
    started = time.process_time()
    learner(setting, specialist_rows(setting, two_rows), two_rows, 100 * every).learn(4 * every, callback=referee)
    scored = len(referee.seen) * 0.3
    assert scored > 0.8
    assert referee.spent <= time.process_time() - started - scored


def test_a_slow_setup_is_stopped_at_the_cap(setting, two_rows):
    every = two_rows.n_envs * two_rows.n_steps
    referee = Referee(lambda model: 0.0, every, cap_seconds=0.0)
    learner(setting, specialist_rows(setting, two_rows), two_rows, 100 * every).learn(50 * every, callback=referee)
    assert referee.model.num_timesteps <= every


def test_the_documents_hyper_parameters_are_those_of_the_spec_profile():
    stated = load_pipeline("spec").phase1.ppo
    for name in ("learning_rate", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "n_envs"):
        assert getattr(DOCUMENTED, name) == getattr(stated, name), name


def test_the_simulator_is_measured_in_every_shape():
    section = measure_simulator(repeats=1, seconds=0.001)
    shapes = {tuple(f.setting.values()) for f in section.figures if f.bench == "simulator"}
    assert shapes == {(rows, slots, limits) for rows in ROWS for slots in (1, 8) for limits in ("on", "off")}
    assert all(figure.value > 0 for figure in section.figures)


def test_the_parts_of_training_sum_to_the_whole():
    section = measure_breakdown(timesteps=20_000)
    parts = [figure for figure in section.figures if figure.bench == "breakdown"]
    assert sum(figure.value for figure in parts) == pytest.approx(1.0)
    assert len(section.figures[-1].values) == 2, "one boundary between two rollouts and one at the end"
