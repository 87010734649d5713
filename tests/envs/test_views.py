"""The same joint actions give the same ledger, rewards and state in every view, to the last bit."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.aec import MarketAECEnv, MarketParallelEnv
from mtquant.envs.engine import GameEngine, Outcome
from mtquant.envs.game import MarketGame
from mtquant.envs.games.joint import META
from mtquant.envs.games.meta_controller import MetaControllerTrainingEnv
from mtquant.envs.gym_env import MarketGymEnv
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.types import Array
from tests.envs.made import MADE, Script, engine_of, joint_actions, squashed
from tests.tiny import tiny_dataset, tiny_spec

ROWS, BARS = 4, 70


class Bar(NamedTuple):
    actions: dict[str, Array]
    fresh: dict[str, Array]
    """What each agent saw before anyone spoke."""
    heard: dict[str, Array]
    """What each agent saw at its turn."""
    outcome: Outcome
    after: dict[str, Array]
    """State arrays after the bar."""
    critic: Array
    """What a centralised critic saw after the bar."""
    last: dict[str, Array]
    """What each agent saw after the bar."""


class Played(NamedTuple):
    game: MarketGame
    start: tuple
    bars: list[Bar]


@cache
def played(name: str) -> Played:
    """Play staggered episodes to their ends in the batched view and keep everything."""
    game = MADE[name](tiny_dataset(missing=0.2, hours=6), tiny_spec())
    view = MultiAgentVecEnv(engine_of(game, ROWS))
    view.reset()
    start = view.state_dict()
    rng = Streams(1).rng("actions")
    bars = []
    for _ in range(BARS):
        actions = joint_actions(game, rng, ROWS)
        fresh = {a: view.observe(a) for a in game.agents}
        heard = {}
        for agent in game.agents:
            heard[agent] = view.observe(agent)
            view.say(agent, actions[agent])
        outcome = view.step()
        last = {a: view.observe(a) for a in game.agents}
        bars.append(Bar(actions, fresh, heard, outcome, view.state_dict()[0], view.state(), last))
    assert np.logical_or.reduce([bar.outcome.done for bar in bars]).all(), "every row must reach its end"
    return Played(game, start, bars)


def single(state: tuple, row: int) -> tuple:
    return {name: array[row : row + 1] for name, array in state[0].items()}, state[1]


def same(first: Array, second: Array) -> None:
    """PettingZoo shows windows as matrices, batches show them as vectors."""
    one, two = np.asarray(first, np.float32), np.asarray(second, np.float32)
    np.testing.assert_array_equal(one.reshape(two.shape), two, strict=True)


def same_state(engine: GameEngine, bar: Bar, rows: Array) -> None:
    for name, array in engine.state_dict()[0].items():
        expected = bar.after[name][rows]
        np.testing.assert_array_equal(array if len(array) == len(expected) else array[rows], expected, err_msg=name)


@pytest.mark.parametrize("row", range(ROWS))
@pytest.mark.parametrize("name", MADE)
def test_agent_by_agent_view(name, row):
    game, start, bars = played(name)
    env = MarketAECEnv(game, game.dataset.splits.train)
    env.reset()
    env.row.engine.load_state_dict(*single(start, row))
    for bar in bars:
        for agent in game.agents:
            same(env.observe(agent), bar.fresh[agent][row])
        for agent in game.agents:
            assert env.agent_selection == agent
            same(env.observe(agent), bar.heard[agent][row])
            env.step(bar.actions[agent][row])
        done, ruined = bar.outcome.done[row], bar.outcome.terminated[row]
        assert env.rewards == {a: float(bar.outcome.rewards[a][row]) for a in game.agents}
        assert set(env.terminations.values()) == {bool(ruined)}
        assert set(env.truncations.values()) == {bool(done and not ruined)}
        same(env.state(), bar.critic[row])
        same_state(env.row.engine, bar, np.array([row]))
        if done:
            return


@pytest.mark.parametrize("row", range(ROWS))
@pytest.mark.parametrize("name", MADE)
def test_parallel_view(name, row):
    game, start, bars = played(name)
    env = MarketParallelEnv(game, game.dataset.splits.train)
    env.reset()
    env.row.engine.load_state_dict(*single(start, row))
    for bar in bars:
        seen, rewards, ruined, cut, _ = env.step({a: x[row] for a, x in bar.actions.items()})
        for agent in game.agents:
            same(seen[agent], bar.last[agent][row])
            assert rewards[agent] == bar.outcome.rewards[agent][row]
            assert ruined[agent] or cut[agent] or not bar.outcome.done[row]
        same(env.state(), bar.critic[row])
        same_state(env.row.engine, bar, np.array([row]))
        if bar.outcome.done[row]:
            assert env.agents == []
            return


@pytest.mark.parametrize("name", MADE)
def test_vec_view_of_every_agent(name):
    game, start, bars = played(name)
    for agent in game.agents:
        others = {a: Script() for a in game.agents if a != agent}
        env = VecMarketEnv(engine_of(game, ROWS), agent, others)
        env.load_state_dict(start[0] | {"view.returns": np.zeros(ROWS), "view.lengths": np.zeros(ROWS, int)}, start[1])
        running = np.ones(ROWS, dtype=bool)
        for bar in bars:
            for other, script in others.items():
                script.line = bar.actions[other]
            seen, reward, done, infos = env.step(bar.actions[agent])
            same(reward[running], bar.outcome.rewards[agent][running])
            assert (done[running] == bar.outcome.done[running]).all()
            for row in np.flatnonzero(running & done):
                same(infos[row]["terminal_observation"], bar.last[agent][row])
                assert infos[row]["TimeLimit.truncated"] is not bool(bar.outcome.terminated[row])
            running &= ~done
            same(seen[running], bar.last[agent][running])
            same_state(env.engine, bar, running)
        assert not running.any()


@pytest.mark.parametrize("name", MADE)
def test_gymnasium_view_of_every_agent(name):
    game, start, bars = played(name)
    for agent in game.agents:
        others = {a: Script() for a in game.agents if a != agent}
        env = MarketGymEnv(game, game.dataset.splits.train, agent, others)
        env.reset(seed=0)
        row = game.agents.index(agent) % ROWS
        env.engine.load_state_dict(*single(start, row))
        for bar in bars:
            for other, script in others.items():
                script.line = bar.actions[other][row : row + 1]
            seen, reward, ruined, cut, _ = env.step(bar.actions[agent][row])
            same(seen, bar.last[agent][row])
            assert reward == bar.outcome.rewards[agent][row]
            assert ruined == bar.outcome.terminated[row]
            assert (ruined or cut) == bar.outcome.done[row]
            same_state(env.engine, bar, np.array([row]))
            if ruined or cut:
                break


@pytest.mark.parametrize("name", MADE)
def test_agents_who_hear_nobody_see_the_same_in_and_out_of_turn(name):
    game, _, bars = played(name)
    deaf = {"joint": (META,), "tactical": game.agents[:1]}.get(name, game.agents)
    for bar in bars:
        for agent in deaf:
            np.testing.assert_array_equal(bar.fresh[agent], bar.heard[agent])


def test_specialists_hear_the_meta_controller_in_decision_bars_only():
    game, _, bars = played("joint")
    ages = np.arange(BARS)
    moved = [not np.array_equal(bar.fresh["forex"], bar.heard["forex"]) for bar in bars]
    assert moved == (ages % game.decision_bars == 0).tolist()


def test_decisions_of_several_bars_are_the_single_bars_summed():
    game = MADE["joint-phase2"](tiny_dataset(), tiny_spec())
    specialists = {group: squashed(game.actions(group).size) for group in game.agents if group != META}
    vec = MetaControllerTrainingEnv(
        game.dataset, game.spec, game.dataset.splits.train, specialists, rows=1, rng=Streams(0).rng("x")
    )
    first = vec.reset()
    plain = engine_of(game, 1)
    plain.load_state_dict(*vec.engine.state_dict())
    gym = MarketGymEnv(game, game.dataset.splits.train, META, specialists, bars=game.decision_bars)
    gym.reset(seed=0)
    gym.engine.load_state_dict(*vec.engine.state_dict())
    same(first, plain.observe(META))
    rng = Streams(2).rng("word")
    ended = False
    while not ended:
        word = rng.uniform(-2, 2, (1, game.actions(META).size)).astype(np.float32)
        total = 0.0
        for bar in range(game.decision_bars):
            if bar == 0:
                plain.say(META, word)
            for group, act in specialists.items():
                plain.say(group, act(plain.observe(group)))
            outcome = plain.advance()
            total += float(outcome.rewards[META][0])
        seen, reward, done, infos = vec.step(word)
        alone, paid, _, cut, _ = gym.step(word[0])
        assert paid == total
        same(reward, np.array([total]))
        ended = bool(done[0])
        assert cut == ended
        assert bool(outcome.done[0]) == ended
        same(infos[0]["terminal_observation"] if ended else seen[0], plain.observe(META)[0])
        same(alone, plain.observe(META)[0])
