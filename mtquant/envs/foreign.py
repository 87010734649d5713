"""Any PettingZoo environment, AEC or Parallel, as the multi-agent trainer plays it: one copy per row, slow and honest.

PettingZoo has no way to write an environment's state down. What it promises is that a seed and the actions decide an
episode. So the state of a row is the seed of its episode and the actions since; restoring it plays them again and
compares what is seen then.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, flatdim
from pettingzoo import ParallelEnv

from mtquant.envs.foreign_row import AECRow, Decoder, ForeignRow, ParallelRow, Word
from mtquant.envs.spaces import AnyActions, ObservationLayout
from mtquant.envs.team import TeamEnv, TeamStep
from mtquant.errors import CheckpointError, UsageError
from mtquant.types import Array, Bool, Float32

MASK = "action_mask"


class ForeignTeam(TeamEnv):
    """N rows, each a copy of one environment.

    `limit` cuts episodes at that many steps. Every episode has a seed of its own from `rng`. The state for a
    centralised critic is that of all agents' observations, or with `whole_state` what the environment's `state` gives.
    Without `compare` it does not matter whether an episode that is played again is the same: where every rollout
    begins with new ones.
    """

    def __init__(
        self,
        copies: Sequence[Any],
        rng: np.random.Generator,
        *,
        limit: int | None = None,
        whole_state: bool = False,
        compare: bool = True,
    ) -> None:
        first = copies[0]
        self.rng, self.rows, self.whole_state, self.compare = rng, len(copies), whole_state, compare
        self.simultaneous = isinstance(first, ParallelEnv)
        self.agents = tuple(first.possible_agents)
        spaces = [first.observation_space(name) for name in self.agents]
        self._layouts = {
            n: ObservationLayout((("seen", flatdim(s)),)) for n, s in zip(self.agents, spaces, strict=True)
        }
        self._decoders = [Decoder(name, first.action_space(name)) for name in self.agents]
        for name, space in zip(self.agents, spaces, strict=True):
            if isinstance(space, Dict) and MASK in space.spaces:
                raise UsageError(
                    f"Agent `{name}` may not take every action at all times (`{MASK}`); that is not supported. "
                    "Wrap the environment so that a forbidden action counts as another one."
                )
        kind = ParallelRow if self.simultaneous else AECRow
        self.envs: list[ForeignRow] = [kind(env, self._decoders, limit) for env in copies]
        self.reset()
        self.state_width = self.state().shape[1]

    def layout(self, agent: str) -> ObservationLayout:
        """Return what `agent` sees, flattened."""
        return self._layouts[agent]

    def actions(self, agent: str) -> AnyActions:
        """Return what `agent` may choose, flattened."""
        return self._decoders[self.agents.index(agent)].actions

    def reset(self, *, stagger: bool = False) -> None:
        """Start an episode in every row."""
        self.restart(np.ones(self.rows, dtype=bool))

    def restart(self, done: Bool) -> None:
        """Start new episodes in the rows `done` [N]."""
        for row in np.flatnonzero(done):
            self.envs[row].begin(int(self.rng.integers(2**31)))

    def observe(self, agent: str) -> Float32:
        """Return `[N, d]`; the last observation where an agent is gone."""
        index = self.agents.index(agent)
        if not self.simultaneous:
            for row in self.envs:
                row.look_as(index)
        return np.stack([row.seen[index] for row in self.envs])

    def state(self) -> Float32:
        """Return `[N, s]` for a centralised critic."""
        if self.whole_state:
            return np.stack([np.asarray(row.env.state(), dtype=np.float32).reshape(-1) for row in self.envs])
        if not self.simultaneous:
            for row in self.envs:
                row.look()
        return np.stack([np.concatenate(row.seen) for row in self.envs])

    def active(self, agent: str) -> Bool:
        """Return `[N]` whether `agent` is asked to act."""
        index = self.agents.index(agent)
        return np.array([row.selected(index) for row in self.envs])

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent` in the rows that ask for it."""
        if not np.isfinite(action).all():
            raise FloatingPointError(f"Agent `{agent}` chose an action that is not finite.")
        index = self.agents.index(agent)
        for row, word in zip(self.envs, action, strict=True):
            if row.selected(index):
                row.say(index, np.array(word, dtype=np.float64))

    def step(self) -> TeamStep:
        """Play the step with what was said."""
        for row in self.envs:
            if row.alive.any() or row.spoke.any():
                row.advance()
        rewards, early, gone, cut, alive = (
            np.stack([getattr(row, name) for row in self.envs]) for name in ("rewards", "early", "gone", "cut", "alive")
        )
        for row in self.envs:
            row.forget()
        return TeamStep(rewards, gone, cut, np.asarray(~alive.any(axis=1)), None if self.simultaneous else early)

    def close(self) -> None:
        """Close every copy."""
        for row in self.envs:
            row.env.close()

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the episodes' seeds and actions, and what is seen now."""
        words = [word for row in self.envs for word in row.words]
        width = max(decoder.actions.size for decoder in self._decoders)
        actions = np.zeros((len(words), width))
        for place, (_, action) in enumerate(words):
            actions[place, : len(action)] = action
        arrays: dict[str, Array] = {
            "seeds": np.array([row.seed for row in self.envs], dtype=np.int64),
            "lengths": np.array([len(row.words) for row in self.envs], dtype=np.int64),
            "speakers": np.array([index for index, _ in words], dtype=np.int64),
            "actions": actions,
            "seen": self._all_seen(),
        }
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Play the episodes again. Raises `CheckpointError` where that does not lead to what was seen."""
        self.rng.bit_generator.state = values["rng"]
        ends = np.cumsum(arrays["lengths"])
        for row, seed, end, length in zip(self.envs, arrays["seeds"], ends, arrays["lengths"], strict=True):
            said: list[Word] = []
            for place in range(int(end - length), int(end)):
                index = int(arrays["speakers"][place])
                size = self._decoders[index].actions.size
                said.append((index, np.array(arrays["actions"][place, :size])))
            row.replay(int(seed), said)
        if self.compare and not np.array_equal(self._all_seen(), arrays["seen"], equal_nan=True):
            name = self.envs[0].env.metadata.get("name", type(self.envs[0].env).__name__)
            raise CheckpointError(
                f"`{name}` did not come back to what was seen when its episodes were played again: it is not "
                "determined by seed and actions. Train it with `restart_episodes`, which needs no state."
            )

    def _all_seen(self) -> Float32:
        for row in self.envs:
            row.look()
        return np.stack([np.concatenate(row.seen) for row in self.envs])
