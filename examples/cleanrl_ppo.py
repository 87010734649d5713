"""PPO in one file, in the way of CleanRL, on a PettingZoo Parallel environment: one network that all agents share.

`python examples/cleanrl_ppo.py --steps 20000`
"""

import argparse
from typing import NamedTuple

import numpy as np
import torch
from pettingzoo import ParallelEnv
from torch import Tensor, nn
from torch.distributions import Categorical

from mtquant.envs import tactical_v1

CYCLES = 250
GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, EPOCHS, MINIBATCHES, RATE = 0.9, 0.95, 0.2, 0.01, 0.5, 4, 4, 1e-3


class Network(nn.Module):
    """Scores of the actions and the value of a state."""

    def __init__(self, width: int, actions: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(
            nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, actions)
        )
        self.critic = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, seen: Tensor) -> tuple[Categorical, Tensor]:
        """Return distribution and value of observations `[..., d]`."""
        return Categorical(logits=self.actor(seen)), self.critic(seen).squeeze(-1)


class Episode(NamedTuple):
    """One episode of all agents; every entry is `[T, n]`, observations `[T, n, d]`."""

    seen: Tensor
    action: Tensor
    logp: Tensor
    value: Tensor
    reward: Tensor
    last_value: Tensor
    """[n] worth of what would have followed: episodes are cut by time."""


def seen_by(env: ParallelEnv, observations: dict[str, np.ndarray]) -> Tensor:
    """Return `[n, d + n]` what every agent sees, and who it is."""
    flat = np.stack([observations[agent].ravel() for agent in env.possible_agents])
    return torch.from_numpy(np.concatenate([flat, np.eye(len(flat), dtype=np.float32)], axis=1))


def play(env: ParallelEnv, network: Network, seed: int | None = None) -> Episode:
    """Play one episode."""
    observations, _ = env.reset(seed=seed)
    steps: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        while env.agents:
            seen = seen_by(env, observations)
            said, value = network(seen)
            action = said.sample()
            moves = dict(zip(env.possible_agents, action.tolist(), strict=True))
            observations, rewards, *_ = env.step(moves)
            paid = torch.tensor([rewards[agent] for agent in env.possible_agents], dtype=torch.float32)
            steps.append((seen, action, said.log_prob(action), value, paid))
        _, last_value = network(seen_by(env, observations))
    return Episode(*(torch.stack(part) for part in zip(*steps, strict=True)), last_value)


def advantages(episode: Episode) -> Tensor:
    """Return `[T, n]` generalised advantage estimates (Schulman et al., 2016)."""
    out = torch.zeros_like(episode.reward)
    following, value = torch.zeros_like(episode.last_value), episode.last_value
    for step in reversed(range(len(out))):
        error = episode.reward[step] + GAMMA * value - episode.value[step]
        following = error + GAMMA * LAMBDA * following
        out[step], value = following, episode.value[step]
    return out


def update(network: Network, optimiser: torch.optim.Optimizer, episode: Episode) -> None:
    """Make the passes of PPO over one episode."""
    advantage = advantages(episode)
    target = (advantage + episode.value).flatten()
    seen, advantage = episode.seen.flatten(0, 1), advantage.flatten()
    action, logp = episode.action.flatten(), episode.logp.flatten()
    for _ in range(EPOCHS):
        for part in torch.randperm(len(seen)).chunk(MINIBATCHES):
            said, value = network(seen[part])
            ratio = (said.log_prob(action[part]) - logp[part]).exp()
            scaled = (advantage[part] - advantage[part].mean()) / (advantage[part].std() + 1e-8)
            gain = torch.minimum(ratio * scaled, ratio.clamp(1 - CLIP, 1 + CLIP) * scaled).mean()
            loss = VALUE * (value - target[part]).square().mean() - gain - ENTROPY * said.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimiser.step()


def learn(steps: int, seed: int = 0) -> tuple[Network, list[float]]:
    """Train for `steps` bars; return the network and the mean reward of an agent, episode by episode."""
    torch.manual_seed(seed)
    env = tactical_v1.parallel_env(max_cycles=CYCLES, seed=seed)
    observations, _ = env.reset(seed=seed)
    network = Network(seen_by(env, observations).shape[1], int(env.action_space(env.possible_agents[0]).n))
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, eps=1e-5)
    rewards: list[float] = []
    while len(rewards) * CYCLES < steps:
        episode = play(env, network)
        rewards.append(float(episode.reward.sum(dim=0).mean()))
        update(network, optimiser, episode)
    return network, rewards


def main() -> None:
    """Train and say how the reward developed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="bars")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    _, rewards = learn(given.steps, given.seed)
    part = max(1, len(rewards) // 5)
    print(
        f"reward of an agent and episode: first {part} episodes {np.mean(rewards[:part]):.2f}, "
        f"last {part} {np.mean(rewards[-part:]):.2f}"
    )


if __name__ == "__main__":
    main()
