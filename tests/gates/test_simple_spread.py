"""Cooperative navigation in numpy is that of mpe2, and its anchors are what they are said to be."""

import json

import numpy as np
import pytest
from mpe2 import simple_spread_v3

from mtquant.context import Streams
from mtquant.evaluation.team import play_team
from mtquant.gates.simple_spread import COUNT, STEPS, SimpleSpread
from mtquant.gates.teams import RANDOM, REFERENCE, assigned, score_of


def placed(env: SimpleSpread, row: int, world: object) -> None:
    """Put a row where mpe2's world is."""
    env.position[row] = [agent.state.p_pos for agent in world.agents]
    env.landmark[row] = [landmark.state.p_pos for landmark in world.landmarks]
    env.velocity[row] = 0.0


def test_it_is_mpe2_to_the_last_bit():
    rows = 6
    env = SimpleSpread(rows, Streams(0).rng("episodes"))
    env.reset()
    official = [simple_spread_v3.parallel_env() for _ in range(rows)]
    seen = [one.reset(seed=seed)[0] for seed, one in enumerate(official)]
    for row, one in enumerate(official):
        placed(env, row, one.unwrapped.world)
    rng, touched = Streams(0).rng("actions"), 0.0
    # agents are driven to one spot, or they would hardly ever touch
    centre = rng.integers(0, 5, (STEPS, rows, COUNT))
    for step in range(STEPS):
        moves = np.where(rng.random((rows, COUNT)) < 0.5, centre[step], towards(env))
        for index, agent in enumerate(env.agents):
            np.testing.assert_array_equal(env.observe(agent), [one[agent] for one in seen])
            env.say(agent, moves[:, index : index + 1])
        np.testing.assert_array_equal(env.state(), [one.state() for one in official])
        found = [one.step(dict(zip(env.agents, map(int, moves[row]), strict=True))) for row, one in enumerate(official)]
        outcome = env.step()
        seen = [one[0] for one in found]
        np.testing.assert_array_equal(outcome.rewards, [[one[1][agent] for agent in env.agents] for one in found])
        assert outcome.done.tolist() == [one[3]["agent_0"] for one in found]
        touched += (outcome.rewards.max(axis=1) - outcome.rewards.min(axis=1)).sum()
    assert touched > 0.0, "nobody touched anybody"
    assert outcome.done.all() and (outcome.cut == outcome.gone).all()


def towards(env: SimpleSpread) -> np.ndarray:
    """Return the moves that bring everybody to the middle of all."""
    way = env.position.mean(axis=1, keepdims=True) - env.position
    axis = np.abs(way).argmax(axis=2)
    return 1 + 2 * axis + (np.take_along_axis(way, axis[..., None], axis=2)[..., 0] > 0)


def test_rows_are_as_if_alone():
    one, many = (SimpleSpread(rows, Streams(0).rng("episodes")) for rows in (1, 5))
    one.reset()
    many.reset()
    for name in ("position", "landmark"):
        getattr(many, name)[3] = getattr(one, name)[0]
    rng = Streams(1).rng("actions")
    for _ in range(STEPS):
        for agent in one.agents:
            move = rng.integers(0, 5, (1, 1))
            one.say(agent, move)
            many.say(agent, np.repeat(move, 5, axis=0))
        np.testing.assert_array_equal(one.step().rewards[0], many.step().rewards[3])


def test_it_continues_to_the_last_bit():
    env, other = SimpleSpread(3, Streams(0).rng("a")), SimpleSpread(3, Streams(9).rng("b"))
    env.reset()
    other.reset()
    arrays, values = env.state_dict()
    other.load_state_dict(arrays, json.loads(json.dumps(values)))
    for one in (env, other):
        one.step()
        one.restart(np.array([True, False, True]))
    np.testing.assert_array_equal(env.state(), other.state())


def uniform(seed: int) -> dict:
    rng = np.random.Generator(np.random.PCG64(seed))
    return {agent: lambda seen, /: rng.integers(0, 5, (len(seen), 1)) for agent in SimpleSpread.agents}


def test_the_anchors_are_what_the_score_takes_them_for():
    for acts, anchor in ((uniform(0), RANDOM), (assigned(), REFERENCE)):
        env = SimpleSpread(500, np.random.Generator(np.random.PCG64(1)))
        total = play_team(env, acts, 2000)[0].sum(axis=1)
        error = total.std() / np.sqrt(len(total))
        assert error < 0.6
        assert total.mean() == pytest.approx(anchor, abs=0.5 + 3.0 * error)


def test_random_play_scores_nothing_and_the_heuristic_one():
    low, high = score_of(uniform(0)), score_of(assigned())
    assert low.low <= 0.0 <= low.high
    assert high.low <= 1.0 + 0.02 and high.high >= 1.0 - 0.02
