"""Stable-Baselines3's PPO on a PettingZoo environment, by way of SuperSuit: one policy that all agents share.

`python examples/supersuit_sb3.py --steps 50000`
"""

import argparse

import numpy as np
import supersuit
from stable_baselines3 import PPO
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from mtquant.envs import tactical_v1

COPIES, CYCLES = 4, 250


def rows(copies: int, seed: int) -> VecEnv:
    """Return `copies` environments whose agents are rows of a `VecEnv`, for SB3 as many single agents."""
    env = tactical_v1.parallel_env(max_cycles=CYCLES, seed=seed)
    # SB3's network wants a vector; the agents see a matrix of bars x columns.
    env = supersuit.flatten_v0(env)
    # One policy plays all agents, so it has to be told which one it is.
    env = supersuit.agent_indicator_v0(env)
    together = supersuit.pettingzoo_env_to_vec_env_v1(env)
    vec_env = supersuit.concat_vec_envs_v1(together, copies, num_cpus=1, base_class="stable_baselines3")
    # Copies of one environment would play the same episodes; SuperSuit gives each a seed of its own here only.
    vec_env.venv.reset(seed=seed)
    return VecMonitor(vec_env)


def learn(steps: int, seed: int = 0) -> PPO:
    """Train for `steps` steps of single agents and return the model."""
    # PPO's own `seed` would ask SuperSuit's rows for a method that they do not have.
    set_random_seed(seed)
    model = PPO("MlpPolicy", rows(COPIES, seed), n_steps=CYCLES, batch_size=500, gamma=0.9, device="cpu")
    return model.learn(steps)


def played(model: PPO | None, episodes: int, seed: int) -> float:
    """Return the mean reward of an agent and episode; `None` plays at random."""
    env = rows(1, seed)
    rng = np.random.default_rng(seed)
    found: list[float] = []
    seen = env.reset()
    while len(found) < episodes * env.num_envs:
        moves = rng.integers(0, 3, env.num_envs) if model is None else model.predict(seen, deterministic=True)[0]
        seen, _, _, infos = env.step(moves)
        found += [info["episode"]["r"] for info in infos if "episode" in info]
    return float(np.mean(found))


def main() -> None:
    """Train, then compare with random play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50_000, help="steps of single agents")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = learn(given.steps, given.seed)
    for name, player in (("random", None), ("trained", model)):
        print(f"{name:8} reward of an agent and episode: {played(player, 8, given.seed + 1):.2f}")


if __name__ == "__main__":
    main()
