"""The execution game: rewards add up to the schedule's worth, state is exact, routing is what was asked for."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.games.execution import ExecutionGame, ExecutionVecEnv
from mtquant.errors import UsageError
from mtquant.synthetic.almgren_chriss import ExecutionParams, even_holdings, objective, optimal_holdings, routing

ROWS = 9
VENUES = ExecutionParams(venue_impact=(0.015, 0.03))


def env_of(params: ExecutionParams = VENUES, seed: int = 0) -> ExecutionVecEnv:
    return ExecutionVecEnv(params, ROWS, Streams(seed).rng("prices"))


def play(env: ExecutionVecEnv, steps: int, seed: int = 0):
    rng = Streams(seed).rng("actions")
    return [env.step(rng.uniform(-1, 1, (ROWS, env.action_space.shape[0]))) for _ in range(steps)]


@pytest.mark.parametrize("holdings", [even_holdings, optimal_holdings])
@pytest.mark.parametrize("params", [ExecutionParams(), VENUES], ids=["one venue", "two venues"])
def test_an_episode_is_paid_the_worth_of_its_schedule(params, holdings):
    env = ExecutionVecEnv(params, 4000, Streams(1).rng("prices"))
    actions = env.game.encode(holdings(params), routing(params))
    env.reset()
    total = np.zeros(4000)
    for step, action in enumerate(actions):
        _, reward, done, infos = env.step(np.tile(action, (4000, 1)))
        total += reward
        assert done.all() == (step == params.steps - 1)
    worth = -objective(params, holdings(params)) / objective(params, even_holdings(params))
    assert total.mean() == pytest.approx(worth, abs=4 * total.std() / np.sqrt(4000))
    assert infos[0]["episode"]["r"] == pytest.approx(total[0], rel=1e-4)
    assert infos[0]["terminal_observation"] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert infos[0]["TimeLimit.truncated"] is False


def test_everything_is_sold_in_the_last_step():
    env = env_of()
    env.reset()
    for _ in range(VENUES.steps - 1):
        observation, _, done, _ = env.step(np.full((ROWS, 3), -1.0))
        assert not done.any()
    assert observation[:, 0] == pytest.approx(1.0)
    observation, _, done, infos = env.step(np.full((ROWS, 3), -1.0))
    assert done.all() and infos[0]["terminal_observation"][0] == 0.0
    assert (observation == [1.0, 1.0]).all()


def test_what_is_encoded_is_decoded():
    game = ExecutionGame(VENUES)
    actions = game.encode(optimal_holdings(VENUES), routing(VENUES))
    share, split = game.decode(np.arange(VENUES.steps), actions)
    np.testing.assert_allclose(VENUES.shares * np.cumprod(1.0 - share), optimal_holdings(VENUES)[1:], atol=1e-12)
    np.testing.assert_allclose(split, np.tile(routing(VENUES), (VENUES.steps, 1)), rtol=1e-12)


def test_another_split_costs_more():
    game = ExecutionGame(VENUES)
    one, zero = np.ones(3), np.zeros(3)
    splits = np.array([routing(VENUES), [0.5, 0.5], [1.0, 0.0]])
    cost = game.fill(one, one, splits, zero).cost
    assert cost[0] < cost[1] < cost[2]


def test_a_restored_batch_continues_exactly():
    env, other = env_of(), env_of(seed=5)
    env.reset()
    play(env, 13)
    arrays, values = env.state_dict()
    other.load_state_dict(arrays, values)
    for left, right in zip(play(env, 30, 2), play(other, 30, 2), strict=True):
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(left[1], right[1])


def test_misuse_is_refused():
    with pytest.raises(UsageError, match="reset"):
        env_of().step(np.zeros((ROWS, 3)))
    env = env_of()
    env.reset()
    with pytest.raises(FloatingPointError):
        env.step(np.full((ROWS, 3), np.nan))
