"""The market's noise in the advantages of a team: what is subtracted depends on no choice, and it is most of it."""

import numpy as np
import pytest

from mtquant.agents.learning.mappo import PERSISTENCE
from mtquant.agents.learning.ppo import noise_variates
from mtquant.envs.games.joint import JointTrainingEnv
from mtquant.envs.games.order_engine import ExecutionEnv
from mtquant.envs.games.risk import RiskManagementEnv
from mtquant.envs.games.strategic import StrategicMarketEnv
from mtquant.envs.games.tactical import TacticalMarketEnv
from tests.agents.teams import learners, rollout, rows_of, settings
from tests.envs.teams import Duel
from tests.tiny import tiny_dataset, tiny_spec

MARKETS = {"risk": RiskManagementEnv, "strategic": StrategicMarketEnv, "tactical": TacticalMarketEnv}


def config_of(**changes):
    return settings(**({"n_envs": 32, "n_steps": 32, "gamma": 0.9, "gae_lambda": 0.6} | changes))


def prepared(env, config, samples):
    """Return the batch and what was measured, of the one group that there is."""
    ((name, learner),) = learners(env, config).items()
    return learner._prepared(samples[name])


@pytest.mark.parametrize("name", MARKETS)
def test_moves_are_those_of_the_bars_whatever_is_done(name):
    paths = []
    for choice in (0.0, 2.0):
        team = rows_of(lambda: MARKETS[name](split="train", max_cycles=60), config_of(n_envs=4))
        engine = team.view.engine
        found = []
        for _ in range(12):
            t, slots, held = engine.sim.state.t.copy(), engine.sim.state.slots.copy(), engine.sim.exposure().copy()
            for agent in team.agents:
                team.say(agent, np.full((4, 1), choice))
            noise = team.step().noise
            market, scale = engine.game.dataset.market, np.asarray(engine.game.dataset.point_volatility)
            move = ((market.close[t + 1] - market.close[t]) / scale[t])[np.arange(4)[:, None], slots]
            np.testing.assert_allclose(noise.shock, move, rtol=1e-5)
            np.testing.assert_allclose(noise.state[:, :, 1], held, rtol=1e-6)
            np.testing.assert_array_equal(noise.state[:, :, 0], 1.0)
            found.append(noise.shock)
        paths.append(np.stack(found))
        assert noise.shock.shape == (4, team.noise_shape[0]) and noise.state.shape[1:] == team.noise_shape
    np.testing.assert_array_equal(*paths)


@pytest.mark.parametrize("name", MARKETS)
def test_noise_leaves_the_advantages_and_the_targets_stay(name):
    make = lambda: MARKETS[name](split="train", max_cycles=200)  # noqa: E731
    env, samples = rollout(make, config_of())
    quiet, measured = prepared(env, config_of(), samples)
    loud, plain = prepared(env, config_of(noise_baseline=False), samples)
    assert measured["noise_removed"] > 0.15 and "noise_removed" not in plain
    np.testing.assert_array_equal(quiet.target, loud.target)
    np.testing.assert_array_equal(quiet.value, loud.value)
    assert float((quiet.advantage - loud.advantage).abs().max()) > 0.1


def test_what_is_subtracted_says_nothing_of_what_was_chosen():
    """A baseline may not know the action: its correlation with any choice is what chance allows."""
    config = config_of(n_envs=64, n_steps=64)
    _, samples = rollout(lambda: RiskManagementEnv(split="train", max_cycles=200), config)
    (found,) = samples.values()
    ends = found.ends[:, :, 0]
    start = np.concatenate([np.zeros_like(ends[:1]), ends[:-1]])
    decays = [config.gamma * config.gae_lambda * share for share in PERSISTENCE]
    variates = noise_variates(found.shock, found.noise_state, start, ends[-1], decays)
    told = variates.reshape(-1, variates.shape[-1])
    for member in range(found.action.shape[2]):
        chosen = found.action[:, :, member, 0].reshape(-1)
        scores = [np.corrcoef(chosen == action, column)[0, 1] for action in range(5) for column in told.T]
        assert np.abs(scores).max() * np.sqrt(len(chosen)) < 4.5
    # the position after the action does know it
    after = np.concatenate([found.noise_state[1:, :, 0, 1], found.noise_state[-1:, :, 0, 1]])
    size = found.action[:, :, 0, 0]
    assert abs(np.corrcoef(size[:-1].reshape(-1), (after - found.noise_state[:, :, 0, 1])[:-1].reshape(-1))[0, 1]) > 0.1


@pytest.mark.parametrize(
    "make",
    [
        Duel,
        lambda: ExecutionEnv(max_cycles=40),
        lambda: JointTrainingEnv(tiny_dataset(), tiny_spec(), tiny_dataset().splits.train),
    ],
    ids=["foreign", "orders", "books of their own"],
)
def test_without_one_noise_for_all_nothing_is_removed(make):
    env, samples = rollout(make, settings(n_steps=20))
    assert env.noise_shape == (0, 0)
    for found in samples.values():
        assert found.shock.shape[2:] == (0,) and found.noise_state.shape[2:] == (0, 0)
    for name, learner in learners(env, settings()).items():
        assert "noise_removed" not in learner._prepared(samples[name])[1]
