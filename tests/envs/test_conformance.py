"""Tests that other projects wrote: PettingZoo, Gymnasium and Stable-Baselines3, warnings being errors."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecMonitor, VecNormalize

from mtquant.envs.aec import MarketAECEnv, MarketParallelEnv
from mtquant.envs.games.joint import JointTrainingEnv
from mtquant.envs.gym_env import MarketGymEnv
from mtquant.envs.vec_env import VecMarketEnv
from tests.envs.made import MADE, engine_of, silent
from tests.tiny import tiny_dataset, tiny_spec

EXCEPTIONS = {
    r"(Agent's|.*A Box observation space) (minimum|maximum).* is -?infinity": (
        "Observations are not bounded by the environment: the normaliser inside every policy clips them."
    ),
    r"We recommend agents to be named in the format": "Agents carry the names of their groups: `meta`, `forex`.",
    r"The observation contains negative numbers and is in the shape of a graphical": (
        "A window of bars x columns is no picture."
    ),
    r"Agents have different observation space sizes": "The meta-controller sees a portfolio, specialists instruments.",
    r"Observations are different shapes": "The same difference, seen in the arrays.",
    r".*(we|We) recommend (you to use|using) a symmetric and normalized": (
        "The meta-controller's logits and the portfolio's exposures have ranges of their own, symmetric but not 1."
    ),
}
"""Every warning of the foreign tests that is not an error here, with its reason."""

CYCLES = 130
"""More than two episodes of the tiny market."""


@contextmanager
def strict() -> Iterator[None]:
    """Make every warning an error but `EXCEPTIONS`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in EXCEPTIONS:
            warnings.filterwarnings("ignore", message=rf"(\x1b\[\d+m)?(WARN: )?{text}")
        yield


def played(name: str):
    return MADE[name](tiny_dataset(missing=0.2), tiny_spec())


def gym_view(name: str, agent: str) -> MarketGymEnv:
    game = played(name)
    others = {a: silent(game.actions(a).size) for a in game.agents if a != agent}
    return MarketGymEnv(game, game.dataset.splits.train, agent, others)


AGENTS = [(name, agent) for name in MADE for agent in played(name).agents]


@pytest.mark.parametrize("name", MADE)
def test_pettingzoo_agent_by_agent(name):
    game = played(name)
    with strict():
        api_test(MarketAECEnv(game, game.dataset.splits.train), num_cycles=CYCLES)
        seed_test(lambda: MarketAECEnv(game, game.dataset.splits.train), num_cycles=CYCLES)


@pytest.mark.parametrize("name", MADE)
def test_pettingzoo_parallel(name):
    game = played(name)
    with strict():
        parallel_api_test(MarketParallelEnv(game, game.dataset.splits.train), num_cycles=CYCLES)
        parallel_seed_test(lambda: MarketParallelEnv(game, game.dataset.splits.train), num_cycles=CYCLES)


@pytest.mark.parametrize("context", [True, False])
def test_pettingzoo_joint_training(context):
    dataset, spec = tiny_dataset(), tiny_spec()

    def make() -> JointTrainingEnv:
        return JointTrainingEnv(dataset, spec, dataset.splits.train, context=context)

    with strict():
        api_test(make(), num_cycles=CYCLES)
        seed_test(make, num_cycles=CYCLES)


@pytest.mark.parametrize(("name", "agent"), AGENTS)
def test_gymnasium_and_stable_baselines_accept_the_single_row(name, agent):
    with strict():
        gymnasium_check_env(gym_view(name, agent), skip_render_check=True)
        sb3_check_env(gym_view(name, agent))


def test_every_exception_is_still_needed():
    needed = set()
    for name, agent in AGENTS:
        for check in (
            lambda view: gymnasium_check_env(view, skip_render_check=True),
            sb3_check_env,
            lambda view: api_test(MarketAECEnv(view.engine.game, view.engine.game.dataset.splits.train), 5),
        ):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                check(gym_view(name, agent))
            needed |= {str(w.message) for w in seen}
    for text in EXCEPTIONS:
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message=rf"(\x1b\[\d+m)?(WARN: )?{text}")
            for message in needed:
                warnings.warn(message, stacklevel=1)
        assert len(left) < len(needed), f"nothing warns about `{text}` any more; remove the exception"


@pytest.mark.parametrize("name", ["specialist", "portfolio"])
def test_stable_baselines_wrappers_and_learner_accept_the_batched_view(name):
    game = played(name)
    env = VecMarketEnv(engine_of(game, 8), game.agents[0])
    with strict():
        wrapped = VecNormalize(VecMonitor(VecCheckNan(env, raise_exception=True)))
        model = PPO("MlpPolicy", wrapped, n_steps=70, batch_size=140, n_epochs=1, device="cpu")
        model.learn(560)
    assert model.num_timesteps == 560
    assert {entry["l"] for entry in model.ep_info_buffer} <= set(range(1, 61))
    assert len(model.ep_info_buffer) >= 8


def test_batched_view_ends_episodes_like_dummy_vec_env():
    game = played("specialist")
    agent = game.agents[0]
    ours = VecMarketEnv(engine_of(game, 1), agent)
    theirs = DummyVecEnv([lambda: MarketGymEnv(game, game.dataset.splits.train, agent)])
    theirs.reset()
    ours.reset()
    theirs.envs[0].engine.load_state_dict(*ours.engine.state_dict())
    ended = False
    while not ended:
        action = np.full((1, 1), 0.5, dtype=np.float32)
        (seen, reward, done, infos), (other, paid, over, news) = ours.step(action), theirs.step(action)
        np.testing.assert_array_equal(reward, paid)
        np.testing.assert_array_equal(done, over)
        ended = bool(done[0])
        if not ended:
            np.testing.assert_array_equal(seen, other)
    np.testing.assert_array_equal(infos[0]["terminal_observation"], news[0]["terminal_observation"])
    assert infos[0]["TimeLimit.truncated"] is news[0]["TimeLimit.truncated"] is True
