"""Groups, learners and players over small teams."""

from typing import Any

import numpy as np

from mtquant.agents.learning.mappo import MAPPOLearner, policy_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.learning.team_play import Group, GroupSamples, groups_of
from mtquant.agents.learning.team_player import TeamPlayer
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams
from mtquant.envs.team import TeamEnv
from mtquant.envs.team_factory import team_of

SMALL = {
    "n_envs": 4,
    "n_steps": 8,
    "n_epochs": 2,
    "actor_hidden": (8,),
    "critic_hidden": (8,),
    "checkpoint_seconds": 0.0,
}


def settings(**changes: Any) -> TrainingConfig:
    """Return settings of a training that takes moments."""
    return TrainingConfig(**(SMALL | changes))


def rows_of(make: Any, config: TrainingConfig, seed: int = 0) -> TeamEnv:
    """Return the rows of an environment."""
    rng = Streams(seed).rng("episodes")
    return team_of(make, config.n_envs, rng, limit=config.episode_length)


def groups(env: TeamEnv, config: TrainingConfig) -> tuple[Group, ...]:
    """Return the groups of agents that share a policy."""
    return groups_of(env, share=config.share_policy, identified=config.agent_id)


def learners(env: TeamEnv, config: TrainingConfig, seed: int = 0) -> dict[str, MAPPOLearner]:
    """Return fresh learners."""
    seed_everything(seed)
    return {group.name: MAPPOLearner(group, env, config) for group in groups(env, config)}


def player(env: TeamEnv, config: TrainingConfig) -> TeamPlayer:
    """Return who plays these rows."""
    return TeamPlayer(env, groups(env, config), structure=config.reward_structure, restart=config.restart_episodes)


def rollout(make: Any, config: TrainingConfig, seed: int = 0) -> tuple[TeamEnv, dict[str, GroupSamples]]:
    """Play one rollout with fresh policies."""
    env = rows_of(make, config, seed)
    seed_everything(seed)
    policies = {group.name: policy_of(group, env, config) for group in groups(env, config)}
    return env, player(env, config).play(policies, config.n_steps, seed).samples


def stream_of(samples: GroupSamples, row: int, member: int) -> list[tuple[np.ndarray, np.ndarray, float, bool]]:
    """Return the turns of an agent in a row: what it saw, did, was paid until its next turn, and whether that ended."""
    turns = np.flatnonzero(samples.turn[:, row, member])
    found = []
    for place, after in zip(turns, [*turns[1:], len(samples.turn)], strict=True):
        gap = np.arange(place, after)
        over = np.flatnonzero(samples.ends[gap, row, member])
        counted = gap[: over[0] + 1] if len(over) else gap
        paid = float(samples.reward[counted, row, member].sum())
        seen, done = samples.observation[place, row, member], samples.action[place, row, member]
        found.append((seen, done, paid, bool(len(over))))
    return found
