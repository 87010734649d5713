"""Rollouts of several agents: what one shard of rows plays, as plain arrays that can travel between processes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mtquant.envs.team import TeamEnv
from mtquant.types import Array, Bool, Float, Float32


@dataclass(frozen=True)
class Group:
    """Agents that share one policy."""

    name: str
    agents: tuple[str, ...]
    identified: bool
    """Whether the policy is told which agent acts, by a one-hot vector behind the observation."""

    @property
    def identity(self) -> Float32:
        """`[m, m]` the vectors, or `[m, 0]`."""
        count = len(self.agents)
        return np.eye(count, dtype=np.float32) if self.identified else np.zeros((count, 0), np.float32)


def groups_of(env: TeamEnv, *, share: bool, identified: bool) -> tuple[Group, ...]:
    """Return the groups of a team; with `share`, agents that see and choose alike are together."""
    alike: dict[Any, list[str]] = {}
    for agent in env.agents:
        alike.setdefault((env.layout(agent), env.actions(agent)) if share else agent, []).append(agent)
    names = [
        agents[0] if len(agents) == 1 else "shared" if len(alike) == 1 else f"shared-{agents[0]}"
        for agents in alike.values()
    ]
    return tuple(
        Group(name, tuple(agents), identified and len(agents) > 1)
        for name, agents in zip(names, alike.values(), strict=True)
    )


class GroupSamples(NamedTuple):
    """What a group experienced in one rollout: S steps, N rows, m agents."""

    observation: Float32
    """[S, N, m, d]"""
    state: Float32
    """[S, N, q, s] with q = m, or 1 where all agents act in the same state."""
    action: Float32
    """[S, N, m, a] as drawn."""
    log_prob: Float32
    """[S, N, m]"""
    reward: Float32
    """[S, N, m]"""
    ends: Bool
    """[S, N, m] the stream of rewards ends with this step."""
    turn: Bool
    """[S, N, m] there is a sample: the agent acted, or is dead and still paid."""
    active: Bool
    """[S, N, m] the agent acted."""
    shock: Float32
    """[S, N, q] price moves; q = 0 where none are told."""
    noise_state: Float32
    """[S, N, q, m] what later positions depended on before the step."""
    last_observation: Float32
    """[N, m, d] after the rollout."""
    last_state: Float32
    """[N, q, s]"""
    cut: Array
    """[K, 3] step, row and agent of streams that were cut."""
    cut_observation: Float32
    """[K, d] what the agent saw then."""
    cut_state: Float32
    """[K, s]"""


class Played(NamedTuple):
    """One rollout of one shard."""

    samples: dict[str, GroupSamples]
    returns: Float
    """[E, n] sums of rewards, as paid, of episodes that ended, in the order in which they did."""
    lengths: Array
    """[E] steps of these episodes."""


RewardStructure = Callable[[Float], Float]
"""From what the environment pays `[N, n]` to what agents learn from."""


def individual(paid: Float) -> Float:
    """Everybody learns from what it is paid."""
    return paid


def cooperative(paid: Float) -> Float:
    """Everybody learns from the mean."""
    return np.broadcast_to(paid.mean(axis=1, keepdims=True), paid.shape)


def competitive(paid: Float) -> Float:
    """Everybody learns from what it is paid beyond the mean of the others; alone, from what it is paid."""
    others = max(paid.shape[1] - 1, 1)
    out: Float = paid - (paid.sum(axis=1, keepdims=True) - paid) / others
    return out


REWARD_STRUCTURES: dict[str, RewardStructure] = {
    "individual": individual,
    "cooperative": cooperative,
    "competitive": competitive,
}
