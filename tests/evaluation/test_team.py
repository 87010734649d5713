"""Whole episodes of a team without exploration."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.foreign import ForeignTeam
from mtquant.envs.games.joint import JointTrainingEnv
from mtquant.envs.market_team import MarketTeam
from mtquant.evaluation.team import observations_of, play_team
from tests.envs.teams import Duel, Fading
from tests.tiny import tiny_dataset, tiny_spec


def constant(value: float, size: int = 1):
    return lambda seen, /: np.full((len(seen), size), value)


def team(make, rows: int = 3) -> ForeignTeam:
    return ForeignTeam([make() for _ in range(rows)], Streams(0).rng("episodes"))


@pytest.mark.parametrize("wanted", [1, 3, 7])
def test_every_row_plays_equally_many_whole_episodes(wanted):
    env = team(Fading)
    returns, lengths = play_team(env, dict.fromkeys(env.agents, constant(0.5)), wanted)
    assert len(returns) == len(lengths) == 3 * -(-wanted // 3)
    assert lengths.min() >= 2 and lengths.max() <= 10
    # who lives is paid its action and one for each one dead: 0.5 a step at least
    assert (returns >= 1.0).all() and returns.max() > 5.0


def test_what_the_others_moves_bring_is_counted():
    env = team(Duel)
    returns, _ = play_team(env, {"player_0": constant(2.0), "player_1": constant(1.0)}, 6)
    assert (returns[:, 1] > 0).all() and (returns[:, 0] < 0).all()


def test_episodes_of_a_market_begin_at_their_beginning():
    """Training starts episodes of random remaining lengths; an evaluation does not."""
    dataset = tiny_dataset()
    env = MarketTeam(JointTrainingEnv(dataset, tiny_spec(), dataset.splits.train).batch(4, Streams(0).rng("a")))
    acts = {agent: constant(0.0, env.actions(agent).size) for agent in env.agents}
    assert set(play_team(env, acts, 8)[1]) == {60}


def test_observations_are_those_of_agents_that_act():
    env = team(Fading)
    seen = observations_of(env, dict.fromkeys(env.agents, constant(0.0)), 40)
    assert {name: found.observation.shape for name, found in seen.items()} == dict.fromkeys(env.agents, (40, 2))
    assert {name: found.state.shape for name, found in seen.items()} == dict.fromkeys(env.agents, (40, env.state_width))
    for array, _ in seen.values():
        assert (array[:, 0] <= np.minimum(array[:, 1], 10)).all()
