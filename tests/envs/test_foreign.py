"""Foreign environments as teams: the same episodes as PettingZoo plays, and exact continuation by playing again."""

import json

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Text
from gymnasium.spaces import Dict as DictSpace
from mpe2 import simple_speaker_listener_v4, simple_spread_v3
from pettingzoo.test import api_test, parallel_api_test

from mtquant.context import Streams
from mtquant.envs.foreign import ForeignTeam
from mtquant.envs.foreign_row import Decoder
from mtquant.envs.spaces import ActionMap, Choice, Choices
from mtquant.errors import CheckpointError, UsageError
from tests.envs.teams import GOAL, Duel, Fading, Restless

MADE = {
    "parallel": simple_spread_v3.parallel_env,
    "aec": simple_spread_v3.env,
    "continuous": lambda: simple_spread_v3.parallel_env(continuous_actions=True),
    "speaker": simple_speaker_listener_v4.parallel_env,
    "turns": Duel,
    "deaths": Fading,
}


def team(name: str, rows: int = 3, seed: int = 0, **options: object) -> ForeignTeam:
    return ForeignTeam([MADE[name]() for _ in range(rows)], Streams(seed).rng("episodes"), **options)


def drawn(env: ForeignTeam, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return random words of every agent, some beyond their bounds."""
    words = {}
    for agent in env.agents:
        actions = env.actions(agent)
        shape = (env.rows, actions.size)
        if isinstance(actions, ActionMap):
            words[agent] = rng.uniform(1.5 * min(actions.low, 0.0) - 0.2, 1.2 * actions.high, shape)
        else:
            words[agent] = rng.integers(0, len(actions.names), shape).astype(np.float64)
    return words


def played(env: ForeignTeam, steps: int, seed: int = 1) -> list[np.ndarray]:
    """Return everything that happens in `steps` random steps."""
    rng, found = Streams(seed).rng("actions"), []
    for _ in range(steps):
        words = drawn(env, rng)
        for agent in env.agents:
            found += [env.observe(agent), env.active(agent), env.state()]
            env.say(agent, words[agent])
        outcome = env.step()
        found += [entry for entry in outcome if entry is not None]
        found += [env.observe(agent) for agent in env.agents]
        env.restart(outcome.done)
    return found


def test_the_toys_are_pettingzoo_environments():
    api_test(Duel(), num_cycles=50)
    parallel_api_test(Fading(), num_cycles=50)


@pytest.mark.parametrize("name", ["parallel", "continuous", "deaths"])
def test_a_parallel_row_plays_what_pettingzoo_plays(name):
    env, own = team(name, 1), MADE[name]()
    rng, seeds = Streams(1).rng("actions"), Streams(0).rng("episodes")
    seen, _ = own.reset(seed=int(seeds.integers(2**31)))
    for _ in range(60):
        words = drawn(env, rng)
        living = list(own.agents)
        for agent in env.agents:
            assert env.active(agent)[0] == (agent in living)
            if agent in living:
                np.testing.assert_array_equal(env.observe(agent)[0], seen[agent])
            env.say(agent, words[agent])
        decoders = {agent: Decoder(agent, own.action_space(agent)) for agent in living}
        seen, rewards, ended, cut, _ = own.step({agent: decoders[agent](words[agent][0]) for agent in living})
        outcome = env.step()
        for index, agent in enumerate(env.agents):
            alive = agent in living
            assert outcome.rewards[0, index] == (rewards[agent] if alive else 0.0)
            assert outcome.gone[0, index] == (alive and (ended[agent] or cut[agent]))
            assert outcome.cut[0, index] == (alive and cut[agent] and not ended[agent])
        assert outcome.done[0] == (not own.agents)
        env.restart(outcome.done)
        if not own.agents:
            seen, _ = own.reset(seed=int(seeds.integers(2**31)))


def test_agent_by_agent_and_all_at_once_are_the_same_game():
    """`simple_spread` moves when the last agent has spoken, so nobody hears anybody."""
    parallel, aec = team("parallel"), team("aec")
    assert parallel.simultaneous and not aec.simultaneous
    rng = Streams(1).rng("actions")
    for _ in range(60):
        words = drawn(parallel, rng)
        for agent in parallel.agents:
            np.testing.assert_array_equal(parallel.observe(agent), aec.observe(agent))
            parallel.say(agent, words[agent])
            aec.say(agent, words[agent])
        one, two = parallel.step(), aec.step()
        for name in ("rewards", "gone", "cut", "done"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
        assert not two.early.any()
        np.testing.assert_array_equal(parallel.state(), aec.state())
        parallel.restart(one.done)
        aec.restart(two.done)


def test_a_turn_is_paid_for_its_consequences():
    """What the other's move brings in the next step is told apart from what the own move brings in this one."""
    env = team("turns", 1)
    env.envs[0].begin(0)
    start = env.observe("player_0")[0, 0]
    for agent, word in (("player_0", 2), ("player_1", 1)):
        assert env.active(agent)[0]
        env.say(agent, np.array([[word]]))
    outcome = env.step()
    # the first has acted when the second's move takes 1 from it; the second gets the first's 2 before it acts
    assert outcome.rewards.tolist() == [[-1.0, 0.0]]
    assert outcome.early.tolist() == [[0.0, 2.0]]
    assert env.observe("player_0")[0, 0] == start + 3


def test_a_game_can_end_between_two_turns():
    env = team("turns", 1)
    while True:
        env.say("player_0", np.array([[2]]))
        heard = env.active("player_1")[0]
        env.say("player_1", np.array([[2]]))
        outcome = env.step()
        if outcome.done[0]:
            break
    assert env.observe("player_1")[0, 0] >= GOAL
    assert outcome.gone.all() and not outcome.cut.any()
    # where the first ended it, the second had no turn in this step and is paid for its turn before
    assert heard or outcome.early[0, 1] == 2.0


def test_episodes_can_be_cut():
    env = team("parallel", limit=7)
    rng = Streams(1).rng("actions")
    for step in range(1, 15):
        for agent, word in drawn(env, rng).items():
            env.say(agent, word)
        outcome = env.step()
        assert (outcome.done == (step % 7 == 0)).all()
        assert (outcome.cut == outcome.done[:, None]).all()
        env.restart(outcome.done)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("steps", [0, 1, 17])
def test_a_team_continues_to_the_last_bit(name, steps):
    env = team(name)
    played(env, steps)
    arrays, values = env.state_dict()
    values = json.loads(json.dumps(values))
    expected = played(env, 30, seed=2)
    other = team(name, seed=9)
    played(other, 5)
    other.load_state_dict(arrays, values)
    for one, two in zip(expected, played(other, 30, seed=2), strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_environment_that_its_seed_does_not_determine_is_found_out():
    env = ForeignTeam([Restless() for _ in range(4)], Streams(0).rng("episodes"))
    with pytest.raises(CheckpointError, match=r"`restless_v0` did not come back .*restart_episodes"):
        env.load_state_dict(*env.state_dict())


def test_the_whole_state_is_what_the_environment_says():
    env = team("parallel", whole_state=True)
    np.testing.assert_array_equal(env.state(), team("parallel").state())


@pytest.mark.parametrize(
    ("space", "word", "expected", "actions"),
    [
        (Discrete(3, start=5), [2], 7, Choice(("5", "6", "7"))),
        (MultiDiscrete([2, 4]), [1, 3], [1, 3], Choices((2, 4))),
        (MultiBinary(2), [1, 0], [1, 0], Choices((2, 2))),
        (Box(-2, 2, (2,)), [3.0, -1.0], [2.0, -1.0], ActionMap(2, -2.0, 2.0)),
        (Box(np.array([0.0, -4.0], "f4"), np.array([1.0, 4.0], "f4")), [0.0, 0.5], [0.5, 2.0], ActionMap(2, -1.0, 1.0)),
        (Box(-1, 1, (1, 2)), [0.5, 9.0], [[0.5, 1.0]], ActionMap(2, -1.0, 1.0)),
    ],
)
def test_words_become_actions(space, word, expected, actions):
    decoder = Decoder("one", space)
    assert decoder.actions == actions
    found = decoder(np.array(word, dtype=np.float64))
    assert space.contains(found)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (Text(3), "Discrete, MultiDiscrete"),
        (Box(np.array([0.0, -np.inf], "f4"), np.array([1.0, 4.0], "f4")), "not all finite"),
    ],
)
def test_actions_that_no_network_gives_are_refused(space, problem):
    with pytest.raises(UsageError, match=f"`one` acts in .*{problem}"):
        Decoder("one", space)


class Masked(Duel):
    """Some actions are forbidden at times."""

    def observation_space(self, agent: str) -> DictSpace:
        return DictSpace({"observation": self._seen, "action_mask": MultiBinary(3)})


def test_forbidden_actions_are_no_silent_matter():
    with pytest.raises(UsageError, match="may not take every action"):
        ForeignTeam([Masked()], Streams(0).rng("episodes"))


def test_nonsense_is_refused():
    env = team("parallel")
    with pytest.raises(FloatingPointError, match="agent_0"):
        env.say("agent_0", np.full((3, 1), np.nan))
