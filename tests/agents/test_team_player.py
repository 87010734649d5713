"""What a rollout of a team contains, against PettingZoo's own account of the same episodes."""

import json
from typing import ClassVar

import numpy as np
import pytest

from mtquant.agents.learning.mappo import policy_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.learning.team_play import REWARD_STRUCTURES
from mtquant.envs.games.joint import JointTrainingEnv
from tests.agents.teams import groups, player, rollout, rows_of, settings, stream_of
from tests.envs.teams import Duel, Fading
from tests.tiny import tiny_dataset, tiny_spec


def joint() -> JointTrainingEnv:
    dataset = tiny_dataset()
    return JointTrainingEnv(dataset, tiny_spec(), dataset.splits.train)


class Told(Duel):
    """Writes down what PettingZoo tells each agent at its turn."""

    log: ClassVar[list["Told"]] = []

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[str, list[tuple[np.ndarray, float, bool, object]]] = {}
        Told.log.append(self)

    def step(self, action: object) -> None:
        seen, paid, ended, cut, _ = self.last()
        self.turns.setdefault(self.agent_selection, []).append((seen, paid, ended or cut, action))
        super().step(action)


@pytest.mark.parametrize("share", [True, False])
def test_turns_have_the_rewards_that_pettingzoo_gives_them(share):
    Told.log.clear()
    env, samples = rollout(Told, settings(n_steps=60, share_policy=share))
    assert len(Told.log) == env.rows
    compared = 0
    for row, told in enumerate(Told.log):
        for index, agent in enumerate(env.agents):
            group = samples["shared" if share else agent]
            found = stream_of(group, row, index if share else 0)
            turns = [turn for turn in told.turns[agent] if not turn[2]]
            assert len(found) == len(turns)
            # the turn after tells what a turn brought; of the last one nobody knows yet
            following = [told.turns[agent][i + 1] for i, turn in enumerate(told.turns[agent][:-1]) if not turn[2]]
            for (seen, done, paid, over), turn, after in zip(found, turns, following, strict=False):
                np.testing.assert_array_equal(seen, turn[0])
                assert done[0] == turn[3]
                assert (paid, over) == (after[1], after[2])
                compared += 1
    assert compared > 200


def test_the_dead_leave_their_own_stream():
    env, samples = rollout(Fading, settings(n_steps=40))
    (group,) = samples.values()
    assert (group.turn == group.active).all() and not group.turn.all()
    assert group.reward[~group.turn].sum() == 0.0
    for row in range(env.rows):
        for member in range(3):
            turns = stream_of(group, row, member)
            ages, ends = [int(seen[0]) for seen, *_ in turns], [int(seen[1]) for seen, *_ in turns]
            for (_, _, _, over), age, end in zip(turns, ages, ends, strict=True):
                assert over == (age == min(end, 10))


def test_streams_that_were_cut_have_a_last_observation():
    """Who lives at step 10 is cut there and sees step 11; who dies in its own time is not."""
    _, samples = rollout(Fading, settings(n_steps=40))
    (group,) = samples.values()
    assert len(group.cut) > 0
    for (step, row, member), seen in zip(group.cut, group.cut_observation, strict=True):
        assert group.ends[step, row, member]
        assert seen[0] == 11 and seen[1] > 10
        assert group.observation[step, row, member, 0] == 10
    ended = np.argwhere(group.ends & group.turn)
    cut = {tuple(place) for place in group.cut}
    for step, row, member in ended:
        assert ((step, row, member) in cut) == (group.observation[step, row, member, 1] > 10)


def test_in_a_team_the_dead_stay_until_the_end_and_share_the_reward():
    _, samples = rollout(Fading, settings(n_steps=40, reward_structure="cooperative"))
    (group,) = samples.values()
    assert group.turn.all() and not group.active.all()
    dead = ~group.active
    assert not group.observation[dead].any()
    np.testing.assert_array_equal(group.reward, np.repeat(group.reward[:, :, :1], 3, axis=2))
    # the stream of all ends when the row's episode does
    np.testing.assert_array_equal(group.ends, np.repeat(group.ends[:, :, :1], 3, axis=2))
    assert group.ends.any()


def test_returns_are_what_was_paid_in_whole_episodes():
    """Whatever agents learn from; of unfinished episodes nothing is told."""
    config = settings(n_steps=40, reward_structure="competitive")
    env = rows_of(Fading, config)
    seed_everything(0)
    policies = {g.name: policy_of(g, env, config) for g in groups(env, config)}
    played = player(env, config).play(policies, config.n_steps, 0)
    (plain,) = rollout(Fading, settings(n_steps=40))[1].values()
    expected = []
    for row in range(env.rows):
        begins = (plain.active[:, row] & (plain.observation[:, row, :, 0] == 1)).any(axis=1)
        parts = np.split(plain.reward[:, row], np.flatnonzero(begins)[1:])
        expected += [(len(part), part.sum(axis=0)) for part in parts[:-1]]
        if not plain.turn[-1, row].any() or plain.ends[-1, row][plain.turn[-1, row]].all():
            expected.append((len(parts[-1]), parts[-1].sum(axis=0)))
    assert len(expected) == len(played.returns) > 10
    np.testing.assert_array_equal(sorted(played.lengths), sorted(length for length, _ in expected))
    total = np.sum([paid for _, paid in expected], axis=0)
    np.testing.assert_allclose(played.returns.sum(axis=0), total, rtol=1e-4)


@pytest.mark.parametrize("name", REWARD_STRUCTURES)
def test_structures_of_rewards(name):
    paid = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]])
    found = REWARD_STRUCTURES[name](paid)
    expected = {
        "individual": paid[0],
        "cooperative": [3.0, 3.0, 3.0],
        "competitive": [1.0 - 4.0, 2.0 - 3.5, 6.0 - 1.5],
    }[name]
    np.testing.assert_allclose(found[0], expected)
    assert not found[1].any()
    assert REWARD_STRUCTURES[name](np.array([[5.0]]))[0, 0] == 5.0


@pytest.mark.parametrize("make", [Duel, Fading, joint], ids=["turns", "deaths", "market"])
def test_a_player_continues_to_the_last_bit(make):
    config = settings(n_steps=13, share_policy=False)

    def policies(env):
        seed_everything(0)
        return {g.name: policy_of(g, env, config) for g in groups(env, config)}

    env = rows_of(make, config)
    one, learned = player(env, config), policies(env)
    one.play(learned, config.n_steps, 0)
    arrays, values = one.state_dict()
    values = json.loads(json.dumps(values))
    expected = [one.play(learned, config.n_steps, seed) for seed in (1, 2)]
    other = player(rows_of(make, config, seed=5), config)
    other.play(learned, 3, 9)
    other.load_state_dict(arrays, values)
    for first, second in zip(expected, [other.play(learned, config.n_steps, seed) for seed in (1, 2)], strict=True):
        np.testing.assert_array_equal(first.returns, second.returns)
        for name, samples in first.samples.items():
            for field in samples._fields:
                np.testing.assert_array_equal(getattr(samples, field), getattr(second.samples[name], field), field)


def test_a_restarting_player_ends_no_stream_and_begins_anew():
    config = settings(n_steps=3, restart_episodes=True)
    env = rows_of(lambda: Fading(cycles=9), config)
    seed_everything(0)
    policies = {g.name: policy_of(g, env, config) for g in groups(env, config)}
    one = player(env, config)
    for seed in range(3):
        (samples,) = one.play(policies, config.n_steps, seed).samples.values()
        assert (samples.observation[0, :, :, 0] == 1).all()
        assert (samples.last_observation[:, :, 0] >= 3).any()
    assert not one.state_dict()[0]["env.lengths"].any()


def test_turns_of_a_market_are_heard_by_those_who_follow():
    """Each agent of the joint game acts once a bar, and everybody is cut where the episode's bars end."""
    env, samples = rollout(joint, settings(n_steps=70))
    assert set(env.agents) == {agent for name in samples for agent in (name,)} or len(samples) < len(env.agents)
    for group in samples.values():
        assert group.turn.all() and group.active.all()
        assert group.state.shape[2] == group.turn.shape[2]
        assert len(group.cut) == int(group.ends.sum()) > 0
