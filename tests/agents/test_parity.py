"""With one agent, MAPPO learns what Stable-Baselines3's PPO learns, in the same number of steps."""

from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from mtquant.agents.learning.state import seed_everything
from mtquant.agents.training.pettingzoo_mappo_trainer import PettingZooMAPPOTrainer
from mtquant.config.marl import TrainingConfig
from tests.envs.teams import Solo

SEEDS = (0, 1, 2)
EPISODES = 50


class Task(NamedTuple):
    """A problem, how both learn it, and what shows that it was learned."""

    name: str
    steps: int
    settings: dict[str, Any]
    learned: float


TASKS = (
    Task(
        "CartPole-v1",
        60_000,
        {"n_envs": 8, "n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8},
        400.0,
    ),
    Task(
        "Pendulum-v1",
        100_000,
        {"n_envs": 4, "n_steps": 1024, "batch_size": 64, "n_epochs": 10, "gamma": 0.9, "gae_lambda": 0.95},
        -400.0,
    ),
)


def ours(task: Task, seed: int) -> float:
    """Return the mean reward of a trained team of one."""
    config = TrainingConfig(
        env_factory=partial(Solo, task.name),
        total_steps=task.steps,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        ent_coef=0.0,
        max_grad_norm=0.5,
        # as SB3 has it: squared errors of returns as they are
        value_norm=False,
        huber_delta=1e9,
        seed=seed,
        **task.settings,
    )
    trainer = PettingZooMAPPOTrainer(config)
    trainer.train()
    return float(trainer.evaluate(EPISODES)["reward"])


def theirs(task: Task, seed: int) -> float:
    """Return the mean reward of SB3's policy."""
    seed_everything(seed)
    settings = dict(task.settings)
    env = DummyVecEnv([lambda: gymnasium.make(task.name)] * settings.pop("n_envs"))
    model = PPO("MlpPolicy", env, learning_rate=lambda left: 1e-3 * left, seed=seed, device="cpu", **settings)
    model.learn(task.steps)
    rewards = []
    one = gymnasium.make(task.name)
    for episode in range(EPISODES):
        seen, _ = one.reset(seed=10_000 + episode)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(seen, deterministic=True)
            seen, reward, ended, cut, _ = one.step(action)
            total, over = total + float(reward), ended or cut
        rewards.append(total)
    return float(np.mean(rewards))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_one_agent_learns_like_sb3(task):
    found, expected = ([learn(task, seed) for seed in SEEDS] for learn in (ours, theirs))
    assert np.median(found) > task.learned, (found, expected)
    assert np.median(expected) > task.learned, (found, expected)
    # the seeds' ranges overlap
    assert max(min(found), min(expected)) <= min(max(found), max(expected)), (found, expected)
