"""RLlib's PPO on a PettingZoo environment, by way of RLlib's own wrapper: a policy per agent.

Needs Ray with RLlib beside the locked versions (docs/marl.md says how). `python examples/rllib_ppo.py --steps 6000`
"""

import argparse

import numpy as np
import ray
import supersuit
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune.registry import register_env

from mtquant.envs import tactical_v1

NAME, CYCLES, BATCH = "tactical_v1", 250, 1000


def wrapped(settings: dict[str, object]) -> ParallelPettingZooEnv:
    """Return the tactical environment as RLlib steps it; its networks want vectors, the agents see matrices."""
    return ParallelPettingZooEnv(supersuit.flatten_v0(tactical_v1.parallel_env(max_cycles=CYCLES, **settings)))


def configured(seed: int) -> PPOConfig:
    """Return settings that learn in this process; RLlib's default workers would load everything again."""
    agents = tactical_v1.parallel_env().possible_agents
    return (
        PPOConfig()
        .environment(NAME, env_config={"seed": seed})
        .env_runners(num_env_runners=0)
        .learners(num_learners=0)
        .multi_agent(policies=set(agents), policy_mapping_fn=lambda agent, *_, **__: agent)
        .training(train_batch_size_per_learner=BATCH, minibatch_size=250, num_epochs=5, gamma=0.9, lr=3e-4)
        .debugging(seed=seed)
    )


def learn(steps: int, seed: int = 0) -> list[float]:
    """Train for at least `steps` steps; return the mean reward of an episode in each batch, all agents together."""
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    register_env(NAME, wrapped)
    algorithm = configured(seed).build_algo()
    rewards = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(-(-steps // BATCH))]
    algorithm.stop()
    ray.shutdown()
    return [float(reward) for reward in rewards if np.isfinite(reward)]


def main() -> None:
    """Train and show the beginning and the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="steps of the environment")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rewards = learn(given.steps, given.seed)
    print(f"reward of an episode, all agents: first {rewards[0]:.2f}, last {rewards[-1]:.2f}")


if __name__ == "__main__":
    main()
