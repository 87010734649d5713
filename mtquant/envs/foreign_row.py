"""One copy of a PettingZoo environment, AEC or Parallel, whose episode can be played again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space, flatdim, flatten

from mtquant.envs.spaces import ActionMap, Choice, Choices
from mtquant.errors import UsageError
from mtquant.types import Array

Word = tuple[int, Array]
"""Index of an agent and its action `[a]` as the network gave it."""


class Decoder:
    """Turns the numbers `[a]` of a network into an action of `space`.

    Boxes whose numbers share their bounds are taken as they are; in others the network acts in [-1, 1].
    """

    def __init__(self, agent: str, space: Space[Any]) -> None:
        self.space = space
        self.scaled = False
        if isinstance(space, Discrete):
            self.actions: ActionMap | Choice | Choices = Choice(tuple(str(space.start + i) for i in range(space.n)))
        elif isinstance(space, MultiDiscrete) and space.nvec.ndim == 1:
            self.actions = Choices(tuple(int(n) for n in space.nvec))
        elif isinstance(space, MultiBinary) and isinstance(space.n, int):
            self.actions = Choices((2,) * space.n)
        elif isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
            self.low, self.high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
            self.scaled = len(set(self.low)) > 1 or len(set(self.high)) > 1
            if self.scaled and not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
                raise UsageError(
                    f"Agent `{agent}` acts in {space}, with bounds that differ and are not all finite. Wrap the "
                    "environment."
                )
            bounds = (-1.0, 1.0) if self.scaled else (float(self.low[0]), float(self.high[0]))
            self.actions = ActionMap(len(self.low), *bounds)
        else:
            raise UsageError(
                f"Agent `{agent}` acts in {space}; Discrete, MultiDiscrete, MultiBinary and Box of floats are "
                "possible. Wrap the environment."
            )

    def __call__(self, word: Array) -> Any:
        """Return the environment's action; what lies beyond bounds is clipped to them."""
        space = self.space
        if isinstance(space, Discrete):
            return space.start + space.dtype.type(word[0])
        if isinstance(space, MultiDiscrete):
            return word.astype(space.dtype) + space.start
        if isinstance(space, MultiBinary):
            return word.astype(space.dtype)
        assert isinstance(space, Box)
        found = word.astype(np.float64)
        if self.scaled:
            found = self.low + 0.5 * (np.clip(found, -1.0, 1.0) + 1.0) * (self.high - self.low)
        return np.clip(found, self.low, self.high).astype(space.dtype).reshape(space.shape)


class ForeignRow(ABC):
    """One copy of an environment and its present episode; arrays have one entry per name of `names`."""

    def __init__(self, env: Any, decoders: Sequence[Decoder], limit: int | None) -> None:
        self.env, self.decoders, self.limit = env, decoders, limit
        self.names: list[str] = list(env.possible_agents)
        self.spaces = [env.observation_space(name) for name in self.names]
        self.seen = [np.zeros(flatdim(space), np.float32) for space in self.spaces]
        """The last observation of each agent; zeros once it has been dead for a step."""
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Start the episode of `seed`."""
        count = len(self.names)
        self.seed = seed
        self.words: list[Word] = []
        self.steps = 0
        self.rewards, self.early = np.zeros(count), np.zeros(count)
        self.gone, self.cut = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.spoke = np.zeros(count, dtype=bool)
        self._reset(seed)
        self.alive = np.array([name in self.env.agents for name in self.names])
        self.look()

    def say(self, index: int, word: Array) -> None:
        """Take the word of agent `index`, which is selected."""
        self.words.append((index, word))
        self.spoke[index] = True
        self._act(index, self.decoders[index](word))

    def advance(self) -> None:
        """End the step; `rewards`, `early`, `gone` and `cut` tell of it until `forget`."""
        for index in np.flatnonzero(~self.alive & ~self.gone):
            self.seen[index] = np.zeros_like(self.seen[index])
        self._play()
        self.steps += 1
        if self.steps == self.limit:
            self.look()
            self.gone |= self.alive
            self.cut |= self.alive
            self.alive[:] = False

    def forget(self) -> None:
        """Forget what the last step brought."""
        self.rewards[:], self.early[:] = 0.0, 0.0
        self.gone[:], self.cut[:], self.spoke[:] = False, False, False

    def replay(self, seed: int, words: Sequence[Word]) -> None:
        """Come back to where `words`, all of whole steps, led from `seed`."""
        self.begin(seed)
        for place, (index, word) in enumerate(words):
            self.say(index, word)
            # within a step agents speak in order
            if place + 1 == len(words) or words[place + 1][0] <= index:
                self.advance()
                self.forget()

    def look(self) -> None:
        """Bring `seen` of living agents up to date."""
        for index in np.flatnonzero(self.alive):
            self.look_as(int(index))

    def look_as(self, index: int) -> None:
        """Bring `seen` of agent `index` up to date, if it lives."""
        if self.alive[index]:
            self._see(index, self._observation(self.names[index]))

    def _see(self, index: int, observation: Any) -> None:
        self.seen[index] = np.asarray(flatten(self.spaces[index], observation), dtype=np.float32).reshape(-1)

    def _leave(self, index: int, *, cut: bool) -> None:
        self.alive[index], self.gone[index], self.cut[index] = False, True, cut

    @abstractmethod
    def selected(self, index: int) -> bool:
        """Return whether agent `index` is asked to act."""

    @abstractmethod
    def _reset(self, seed: int) -> None: ...

    @abstractmethod
    def _observation(self, name: str) -> Any: ...

    @abstractmethod
    def _act(self, index: int, action: Any) -> None: ...

    @abstractmethod
    def _play(self) -> None: ...


class ParallelRow(ForeignRow):
    """All agents act at once."""

    def _reset(self, seed: int) -> None:
        self._observations, _ = self.env.reset(seed=seed)
        self._actions: dict[str, Any] = {}

    def selected(self, index: int) -> bool:
        """Return whether agent `index` lives."""
        return bool(self.alive[index])

    def _observation(self, name: str) -> Any:
        return self._observations[name]

    def _act(self, index: int, action: Any) -> None:
        self._actions[self.names[index]] = action

    def _play(self) -> None:
        self._observations, rewards, ended, cut, _ = self.env.step(self._actions)
        self._actions = {}
        for index, name in enumerate(self.names):
            if not self.alive[index]:
                continue
            self.rewards[index] = rewards[name]
            self._see(index, self._observations[name])
            if ended[name] or cut[name]:
                self._leave(index, cut=not ended[name])


class AECRow(ForeignRow):
    """Agents act one after the other; a step gives each one turn at most.

    What an agent is paid before its turn in a step is the consequence of its turn before.
    """

    def _reset(self, seed: int) -> None:
        self.env.reset(seed=seed)

    def selected(self, index: int) -> bool:
        """Return whether it is the turn of agent `index`."""
        return bool(self.alive[index]) and self.env.agent_selection == self.names[index]

    def _observation(self, name: str) -> Any:
        return self.env.observe(name)

    def _act(self, index: int, action: Any) -> None:
        env = self.env
        env.step(action)
        for place, name in enumerate(self.names):
            if not self.alive[place]:
                continue
            paid = self.rewards if self.spoke[place] else self.early
            paid[place] += env.rewards[name]
            if env.terminations[name] or env.truncations[name]:
                self._see(place, env.observe(name))
                self._leave(place, cut=not env.terminations[name])
        while env.agents and (env.terminations[env.agent_selection] or env.truncations[env.agent_selection]):
            env.step(None)

    def _play(self) -> None:
        """The environment has moved with every word."""
