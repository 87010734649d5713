"""Rollouts of all shards of a training: here in this process, in `rollout_pool` in processes of their own."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy

from mtquant.agents.learning.state import Parts
from mtquant.agents.learning.team_play import Group, GroupSamples, Played, groups_of
from mtquant.agents.learning.team_player import TeamPlayer
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams
from mtquant.envs.scenario import Scenario
from mtquant.envs.team import TeamEnv
from mtquant.envs.team_factory import team_of
from mtquant.errors import UsageError
from mtquant.store.snapshot import Snapshot
from mtquant.types import Array

Policies = Mapping[str, ActorCriticPolicy]


class Rollouts(Protocol):
    """Whoever plays the rows of a training."""

    def play(self, index: int, policies: Policies, scenarios: Sequence[Scenario]) -> Played:
        """Return rollout number `index` of all rows, shard behind shard; `scenarios` has one for each of them."""

    def state_dict(self) -> Parts:
        """Return the rows' state between two rollouts."""

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""

    def close(self) -> None:
        """Release what plays."""


def make_team(config: TrainingConfig, rows: int, rng: np.random.Generator) -> TeamEnv:
    """Return rows of the environment that is trained on. Raises `UsageError` where there is none."""
    factory = config.env_factory
    if factory is None:
        raise UsageError("Nothing can be trained without an environment: give `env_factory` in TrainingConfig.")
    return team_of(
        lambda: factory(**config.env_settings),
        rows,
        rng,
        limit=config.episode_length,
        whole_state=config.central_state == "environment",
        compare=not config.restart_episodes,
    )


def groups_in(config: TrainingConfig, team: TeamEnv) -> tuple[Group, ...]:
    """Return the groups of agents that share a policy."""
    return groups_of(team, share=config.share_policy, identified=config.agent_id)


class Shard:
    """One part of the rows: everything that it plays is decided by the settings, its number and the policies."""

    def __init__(self, config: TrainingConfig, streams: Streams, number: int) -> None:
        self.config, self.streams, self.number = config, streams, number
        rows = config.n_envs // config.rollout_shards
        self.team = make_team(config, rows, streams.rng("mappo", "episodes", number))
        self.groups = groups_in(config, self.team)
        self.player = TeamPlayer(
            self.team, self.groups, structure=config.reward_structure, restart=config.restart_episodes
        )

    def play(self, index: int, policies: Policies, scenarios: Sequence[Scenario]) -> Played:
        """Return rollout number `index` of these rows; episodes that begin in it get their row's scenario."""
        self.team.begin_scenarios(scenarios)
        seed = self.streams.integer("mappo", "actions", index, self.number)
        return self.player.play(policies, self.config.n_steps, seed)


class LocalRollouts:
    """All shards, one after the other, in this process."""

    def __init__(self, config: TrainingConfig, streams: Streams) -> None:
        self.shards = [Shard(config, streams, number) for number in range(config.rollout_shards)]

    def play(self, index: int, policies: Policies, scenarios: Sequence[Scenario]) -> Played:
        """Return rollout number `index` of all rows."""
        parts = zip(self.shards, by_shard(scenarios, len(self.shards)), strict=True)
        return together([shard.play(index, policies, its) for shard, its in parts])

    def state_dict(self) -> Parts:
        """Return the rows' state between two rollouts."""
        return joined([shard.player.state_dict() for shard in self.shards])

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        for shard, parts in zip(self.shards, separated(arrays, values, len(self.shards)), strict=True):
            shard.player.load_state_dict(*parts)

    def close(self) -> None:
        """Close the environments."""
        for shard in self.shards:
            shard.team.close()


def by_shard(scenarios: Sequence[Scenario], shards: int) -> list[Sequence[Scenario]]:
    """Return the scenarios of all rows, shard by shard."""
    rows = len(scenarios) // shards
    return [scenarios[first : first + rows] for first in range(0, len(scenarios), rows)]


def together(parts: list[Played]) -> Played:
    """Return the rollouts of several shards as one, in order."""
    if len(parts) == 1:
        return parts[0]
    samples = {name: _side_by_side([part.samples[name] for part in parts]) for name in parts[0].samples}
    return Played(
        samples, np.concatenate([part.returns for part in parts]), np.concatenate([part.lengths for part in parts])
    )


def _side_by_side(parts: list[GroupSamples]) -> GroupSamples:
    rows = np.cumsum([0, *(part.last_observation.shape[0] for part in parts)])
    found: dict[str, Array] = {}
    for name in GroupSamples._fields:
        arrays = [getattr(part, name) for part in parts]
        if name == "cut":
            # rows are counted on from shard to shard
            arrays = [cut + np.array([0, first, 0]) for cut, first in zip(arrays, rows[:-1], strict=True)]
        steps_first = not name.startswith(("last_", "cut"))
        found[name] = np.concatenate(arrays, axis=1 if steps_first else 0)
    return GroupSamples(**found)


def joined(parts: list[Parts]) -> Parts:
    """Return the states of several shards as one."""
    arrays = {f"shard{i}.{name}": array for i, (found, _) in enumerate(parts) for name, array in found.items()}
    return arrays, {f"shard{i}": values for i, (_, values) in enumerate(parts)}


def separated(arrays: Mapping[str, Array], values: Mapping[str, Any], count: int) -> list[Parts]:
    """Undo `joined`."""
    heads = [f"shard{i}" for i in range(count)]
    return [
        ({name.removeprefix(f"{head}."): a for name, a in arrays.items() if name.startswith(f"{head}.")}, values[head])
        for head in heads
    ]


def packed_rollout(played: Played, state: Parts) -> Snapshot:
    """Return a rollout and the state after it as one message."""
    arrays: dict[str, Array] = {"returns": played.returns, "lengths": played.lengths}
    for name, samples in played.samples.items():
        arrays |= {f"samples.{name}.{key}": array for key, array in samples._asdict().items()}
    arrays |= {f"state.{name}": array for name, array in state[0].items()}
    return Snapshot(arrays, {"groups": list(played.samples), "state": state[1]})


def unpacked_rollout(message: Snapshot) -> tuple[Played, Parts]:
    """Undo `packed_rollout`."""
    arrays = message.arrays
    samples = {
        name: GroupSamples(**{key: arrays[f"samples.{name}.{key}"] for key in GroupSamples._fields})
        for name in message.values["groups"]
    }
    state = {name.removeprefix("state."): array for name, array in arrays.items() if name.startswith("state.")}
    return Played(samples, arrays["returns"], arrays["lengths"]), (state, message.values["state"])
