"""PettingZoo views of one row of a game: agent by agent (AEC) and all at once (Parallel).

They exist for conformance and for foreign code; training uses the batched views, which play the same
engine.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from pettingzoo import AECEnv, ParallelEnv

from mtquant.data.splits import Split
from mtquant.envs.engine import Engine, GameEngine, Outcome
from mtquant.envs.game import MarketGame
from mtquant.envs.watch import RENDER_MODES, Switches, Watch
from mtquant.errors import UsageError
from mtquant.types import Array

MakeEngine = Callable[[int, np.random.Generator], Engine]
"""Rows and random numbers to an engine."""
SILENT = Switches()


def market_engine(game: MarketGame, split: Split, rows: int, rng: np.random.Generator) -> GameEngine:
    """Return `rows` rows of `game` on `split`."""
    return GameEngine(game, split, rows, rng)


class OneRow:
    """What both views share: one engine of one row, made anew when `reset` is given a seed."""

    def __init__(self, make: MakeEngine, seed: int, watch: Watch, *, strict: bool) -> None:
        self.make, self.seed, self.watch, self.strict = make, seed, watch, strict
        self.engine = self._made()
        game = self.engine.game
        # spaces must be the same object at every call
        self.observation_spaces: dict[str, Box] = {}
        for agent in game.agents:
            layout = game.layout(agent)
            shape = layout.shape or (layout.width,)
            self.observation_spaces[agent] = Box(-np.inf, np.inf, shape, dtype=np.float32)
        self.action_spaces: dict[str, Box | Discrete] = {a: game.actions(a).space() for a in game.agents}

    def _made(self) -> Engine:
        return self.make(1, np.random.Generator(np.random.PCG64(self.seed)))

    def restart(self, seed: int | None) -> None:
        """Start an episode; `seed` restarts the stream that episodes are drawn from."""
        if seed is not None:
            self.seed = seed
            self.engine = self._made()
        self.engine.begin(stagger=False)
        self.watch.begin()

    def observe(self, agent: str) -> Array:
        """Return what `agent` sees, in the shape of its space."""
        seen = np.asarray(self.engine.observe(agent)[0], dtype=np.float32)
        return seen.reshape(self.space(agent).shape)

    def space(self, agent: str) -> Box:
        """Return the observation space of `agent`."""
        return self.observation_spaces[self._known(agent)]

    def choices(self, agent: str) -> Box | Discrete:
        """Return the action space of `agent`."""
        return self.action_spaces[self._known(agent)]

    def word(self, agent: str, action: Any) -> Array:
        """Return one action as a batch of one, `[1, a]`."""
        actions = self.engine.game.actions(self._known(agent))
        if self.strict:
            actions.check(agent, np.asarray(action))
        return actions.take(agent, np.asarray(action, dtype=np.float64).reshape(1, -1))

    def played(self, outcome: Outcome, words: Mapping[str, Array]) -> None:
        """Tell the watch of a bar."""
        game = self.engine.game
        self.watch.saw(self.engine, outcome, {a: game.actions(a).told(w[0]) for a, w in words.items()})

    def infos(self) -> dict[str, Any]:
        """Return the parts of the last reward, where the game keeps them."""
        parts = self.engine.parts()
        return {"reward_parts": {name: float(values[0]) for name, values in parts.items()}} if parts else {}

    def _known(self, agent: str) -> str:
        if agent not in self.action_spaces:
            raise UsageError(f"There is no agent `{agent}`; {self.engine.game.name} has {list(self.action_spaces)}.")
        return agent


class _View:
    """What is the same in the AEC and the Parallel environment."""

    row: OneRow
    render_mode: str | None

    def _open(self, make: MakeEngine, seed: int, switches: Switches, render_mode: str | None, strict: bool) -> None:
        self.row = OneRow(make, seed, Watch(switches, render_mode), strict=strict)
        self.render_mode = render_mode
        game = self.row.engine.game
        self.metadata: dict[str, Any] = {
            "name": game.name,
            "render_modes": list(RENDER_MODES),
            "is_parallelizable": True,
            "render_fps": 4,
        }
        self.possible_agents = list(game.agents)
        self.agents: list[str] = []
        self.observation_spaces = self.row.observation_spaces
        self.action_spaces = self.row.action_spaces

    def observation_space(self, agent: str) -> Box:
        """Return what `agent` sees."""
        return self.row.space(agent)

    def action_space(self, agent: str) -> Box | Discrete:
        """Return what `agent` may choose."""
        return self.row.choices(agent)

    def render(self) -> str | NDArray[np.uint8] | None:
        """Return the episode as `render_mode` asks: text, a picture `[480, 640, 3]`, or text on the screen."""
        return self.row.watch.render(str(self.metadata["name"]))

    def close(self) -> None:
        """Nothing to release."""

    def state(self) -> Array:
        """Return `[s]` what a centralised critic sees."""
        return np.asarray(self.row.engine.state()[0], dtype=np.float32)

    def performance(self) -> dict[str, float]:
        """Return the step times that `performance_monitoring` measured."""
        return self.row.watch.performance()


class EngineParallelEnv(_View, ParallelEnv[str, Array, Array]):
    """All agents choose at once: none hears what the others say in the same bar."""

    def __init__(
        self,
        make: MakeEngine,
        seed: int = 0,
        *,
        switches: Switches = SILENT,
        render_mode: str | None = None,
        strict: bool = False,
    ) -> None:
        self._open(make, seed, switches, render_mode, strict)

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
        if not self.agents:
            raise UsageError("Call `reset` before `step`: no episode is running.")
        words = {a: self.row.word(a, x) for a, x in actions.items()}
        outcome = self.row.engine.play(words)
        self.row.played(outcome, words)
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
            {a: self.row.infos() for a in agents},
        )


class EngineAECEnv(_View, AECEnv[str, Array, Array]):
    """Agents choose in speaking order; later ones see what earlier ones said in the same bar."""

    def __init__(
        self,
        make: MakeEngine,
        seed: int = 0,
        *,
        switches: Switches = SILENT,
        render_mode: str | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self._open(make, seed, switches, render_mode, strict)

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
        self._words: dict[str, Array] = {}
        self.agent_selection = self.agents[0]

    def step(self, action: Array | None) -> None:
        """Take the choice of the agent whose turn it is; the bar is played after the last one."""
        if not self.agents:
            raise UsageError("Call `reset` before `step`: no episode is running.")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        word = self.row.word(agent, action)
        self.row.engine.say(agent, word)
        self._cumulative_rewards[agent] = 0.0
        self._words[agent] = word
        if len(self._words) < len(self.possible_agents):
            self._clear_rewards()
            self.agent_selection = self.possible_agents[len(self._words)]
            return
        outcome = self.row.engine.advance()
        self.row.played(outcome, self._words)
        ruined, ended = bool(outcome.terminated[0]), bool(outcome.done[0])
        for name in self.agents:
            self.rewards[name] = float(outcome.rewards[name][0])
            self.terminations[name], self.truncations[name] = ruined, ended and not ruined
            self.infos[name] = self.row.infos()
        self._accumulate_rewards()
        self._words = {}
        self.agent_selection = self.agents[0]


class MarketParallelEnv(EngineParallelEnv):
    """The Parallel environment of a game over bars."""

    def __init__(self, game: MarketGame, split: Split, seed: int = 0) -> None:
        super().__init__(partial(market_engine, game, split), seed)


class MarketAECEnv(EngineAECEnv):
    """The AEC environment of a game over bars."""

    def __init__(self, game: MarketGame, split: Split, seed: int = 0) -> None:
        super().__init__(partial(market_engine, game, split), seed)
