"""PettingZoo views of one row of a game: agent by agent (AEC) and all at once (Parallel).

They exist for conformance and for foreign code; training uses the batched views, which play the same
engine.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from pettingzoo import AECEnv, ParallelEnv

from mtquant.data.splits import Split
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.types import Array

GameFactory = Callable[[], MarketGame]


class _OneRow:
    """What both views share: one engine of one row, rebuilt from the seed at `reset`."""

    def __init__(self, game: MarketGame, split: Split, seed: int) -> None:
        self.game, self.split = game, split
        self.seed = seed
        self.engine = self._engine()

    def _engine(self) -> GameEngine:
        return GameEngine(self.game, self.split, 1, np.random.Generator(np.random.PCG64(self.seed)))

    def restart(self, seed: int | None) -> None:
        if seed is not None:
            self.seed = seed
            self.engine = self._engine()
        self.engine.begin(stagger=False)

    def observe(self, agent: str) -> Array:
        return np.asarray(self.engine.observe(agent)[0], dtype=np.float32)

    @cache  # noqa: B019 - spaces must be the same object at every call, and the row lives as long as the env
    def observation_space(self, agent: str) -> Box:
        return self.game.layout(agent).space()

    @cache  # noqa: B019
    def action_space(self, agent: str) -> Box:
        return self.game.actions(agent).space()


class MarketParallelEnv(ParallelEnv[str, Array, Array]):
    """All agents choose at once: none hears what the others say in the same bar."""

    def __init__(self, game: MarketGame, split: Split, seed: int = 0) -> None:
        self.row = _OneRow(game, split, seed)
        self.metadata = {"name": game.name, "render_modes": []}
        self.possible_agents = list(game.agents)
        self.agents: list[str] = []
        self.render_mode = None

    def observation_space(self, agent: str) -> Box:
        """Return what `agent` sees."""
        return self.row.observation_space(agent)

    def action_space(self, agent: str) -> Box:
        """Return what `agent` may choose."""
        return self.row.action_space(agent)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
        """Start an episode."""
        self.row.restart(seed)
        self.agents = list(self.possible_agents)
        return {a: self.row.observe(a) for a in self.agents}, {a: {} for a in self.agents}

    def step(
        self, actions: dict[str, Array]
    ) -> tuple[dict[str, Array], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one bar."""
        outcome = self.row.engine.play({a: np.asarray(x)[None] for a, x in actions.items()})
        ruined = bool(outcome.terminated[0])
        ended = bool(outcome.done[0])
        agents = self.agents
        if ended:
            self.agents = []
        return (
            {a: self.row.observe(a) for a in agents},
            {a: float(outcome.rewards[a][0]) for a in agents},
            dict.fromkeys(agents, ruined),
            dict.fromkeys(agents, ended and not ruined),
            {a: {} for a in agents},
        )

    def render(self) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing to release."""

    def state(self) -> Array:
        """Return the observations of all agents, one behind the other."""
        return np.concatenate([self.row.observe(a) for a in self.possible_agents])


class MarketAECEnv(AECEnv[str, Array, Array]):
    """Agents choose in speaking order; later ones see what earlier ones said in the same bar."""

    def __init__(self, game: MarketGame, split: Split, seed: int = 0) -> None:
        super().__init__()
        self.row = _OneRow(game, split, seed)
        self.metadata = {"name": game.name, "render_modes": [], "is_parallelizable": True}
        self.possible_agents = list(game.agents)
        self.agents: list[str] = []
        self.render_mode = None

    def observation_space(self, agent: str) -> Box:
        """Return what `agent` sees."""
        return self.row.observation_space(agent)

    def action_space(self, agent: str) -> Box:
        """Return what `agent` may choose."""
        return self.row.action_space(agent)

    def observe(self, agent: str) -> Array:
        """Return what `agent` sees now; works out of turn."""
        return self.row.observe(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode."""
        self.row.restart(seed)
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {a: {} for a in self.agents}
        self._turn = 0
        self.agent_selection = self.agents[0]

    def step(self, action: Array | None) -> None:
        """Take the choice of the agent whose turn it is; the bar is played after the last one."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self.row.engine.say(agent, np.asarray(action)[None])
        self._turn += 1
        if self._turn < len(self.possible_agents):
            self._clear_rewards()
            self.agent_selection = self.possible_agents[self._turn]
            return
        outcome = self.row.engine.advance()
        ruined, ended = bool(outcome.terminated[0]), bool(outcome.done[0])
        for name in self.agents:
            self.rewards[name] = float(outcome.rewards[name][0])
            self.terminations[name], self.truncations[name] = ruined, ended and not ruined
        self._accumulate_rewards()
        self._turn = 0
        self.agent_selection = self.agents[0]

    def render(self) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing to release."""

    def state(self) -> Array:
        """Return the observations of all agents, one behind the other."""
        return np.concatenate([self.row.observe(a) for a in self.possible_agents])
