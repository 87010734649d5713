"""`GameEngine`: one game at one simulator, with its episodes. Every view is a thin layer over it."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from mtquant.data.splits import Split
from mtquant.envs.conditions import LOOKBACK, market_conditions
from mtquant.envs.game import PARTS, MarketGame, Table
from mtquant.envs.observation_noise import ObservationNoise
from mtquant.envs.scenario import REAL_TASK, EpisodeSchedule, ScenarioSource
from mtquant.envs.spaces import Actions, Normaliser, ObservationLayout
from mtquant.sim.kernel import StepResult
from mtquant.sim.simulator import Episode, MarketSim
from mtquant.types import ActFn, Array, Bool, Float, Int


class Outcome(NamedTuple):
    """One bar of the game."""

    rewards: dict[str, Float]
    result: StepResult
    done: Bool
    """[N] the episode ended with this bar."""
    terminated: Bool
    """[N] it ended because the account was ruined; otherwise it was cut (truncated)."""


class Rules(Protocol):
    """What a view has to know of a game."""

    @property
    def name(self) -> str:
        """Name with version."""

    @property
    def agents(self) -> tuple[str, ...]:
        """Speaking order."""

    def layout(self, agent: str) -> ObservationLayout:
        """Return what `agent` sees."""

    def actions(self, agent: str) -> Actions:
        """Return what `agent` may choose."""

    def input_normaliser(self, agent: str) -> Normaliser:
        """Return what a network does to observations of `agent` first."""


class Engine(Protocol):
    """N rows of one game, as every view plays it. `GameEngine` is the one over bars."""

    rows: int
    rng: np.random.Generator
    curriculum: ScenarioSource | None

    @property
    def game(self) -> Rules:
        """The rules."""

    def begin(self, *, stagger: bool) -> None:
        """Start an episode in every row."""

    def restart(self, rows: Bool) -> None:
        """Start new episodes in `rows` [N]."""

    def observe(self, agent: str) -> Array:
        """Return `[N, d]`."""

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent`."""

    def advance(self) -> Outcome:
        """Play the bar."""

    def play(self, actions: Mapping[str, Array]) -> Outcome:
        """Say `actions` in speaking order and advance."""

    def state(self) -> Array:
        """Return `[N, s]` what a centralised critic sees."""

    def parts(self) -> dict[str, Float]:
        """Return `[N]` each part of the last reward by name, where the game keeps them."""

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that `load_state_dict` continues from exactly."""

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""


class GameEngine:
    """N rows of one game. Agents speak in order with `say`; `advance` plays the bar.

    Rows whose episode ended stay where they are until `restart` is called.
    """

    def __init__(self, game: MarketGame, split: Split, rows: int, rng: np.random.Generator) -> None:
        market = game.dataset.market
        starts = np.array([start for start, _ in market.history_bounds()])
        self.game = game
        self.rows = rows
        self.rng = rng
        environment = game.spec.environment
        lookback = max(1, min(LOOKBACK, environment.warmup_steps))
        self.schedule = EpisodeSchedule(
            split,
            starts,
            environment,
            multiple=game.decision_bars,
            labels=partial(market_conditions, game.dataset, split, lookback),
        )
        self.curriculum: ScenarioSource | None = None
        """Where new episodes get their scenarios from; None: all are the real task."""
        self.noise = ObservationNoise(game, rows)
        self.table = Table(MarketSim(game.dataset, game.spec, rows=rows, slots=game.slots, joint=game.joint), {})

    @property
    def sim(self) -> MarketSim:
        """The accounts."""
        return self.table.sim

    def begin(self, *, stagger: bool) -> None:
        """Start an episode in every row; with `stagger`, of random remaining lengths."""
        self.begin_episode(self._draw(np.arange(self.rows), stagger=stagger))

    def _draw(self, rows: Int, *, stagger: bool = False) -> Episode:
        slots = self.game.draw_slots(self.rng, len(rows))
        if self.curriculum is None:
            return self.schedule.draw(self.rng, slots, [REAL_TASK] * len(rows), stagger=stagger)
        episode = self.schedule.draw(self.rng, slots, self.curriculum.scenarios(rows), stagger=stagger)
        self.curriculum.placed(rows, episode)
        return episode

    def begin_episode(self, episode: Episode) -> None:
        """Start the given episode, one entry per row."""
        everyone = np.ones(self.rows, dtype=bool)
        self.table.memory = self.game.memory(self.rows)
        self.sim.reset(everyone, episode)
        self.game.reset_memory(self.table.memory, everyone, self.rng)
        self.noise.reset(everyone, episode.noise_level, self.rng)
        self.table.said = {}

    def restart(self, rows: Bool) -> None:
        """Start new episodes in `rows` [N]."""
        episode = self._draw(np.flatnonzero(rows))
        self.sim.reset(rows, episode)
        self.game.reset_memory(self.table.memory, rows, self.rng)
        self.noise.reset(rows, episode.noise_level, self.rng)

    def observe(self, agent: str) -> Array:
        """Return `[N, d]` what `agent` sees now, having heard those who spoke in this bar."""
        seen = self.game.observe(agent, self.table)
        return self.noise.add(agent, seen, np.asarray(self.sim.state.t)) if self.noise.active else seen

    def state(self) -> Array:
        """Return `[N, s]` what a centralised critic sees; float32."""
        return self.game.state(self.table)

    def parts(self) -> dict[str, Float]:
        """Return `[N]` each part of the last reward by name; empty where the game keeps none."""
        kept = self.table.memory.get(PARTS)
        return {} if kept is None else dict(zip(self.game.parts, kept.T, strict=True))

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent`: clipped to its bounds, or an index; anything else is an error."""
        self.table.said[agent] = self.game.actions(agent).take(agent, action)

    def advance(self) -> Outcome:
        """Play the bar with what was said; agents that stayed silent keep to what they last decided."""
        target = self.game.decode(self.table)
        result = self.sim.step(target)
        rewards = self.game.reward(self.table, result)
        self.table.said = {}
        ruined = np.asarray(self.sim.state.ruined)
        return Outcome(rewards, result, np.asarray(result.done), ruined)

    def play(self, actions: Mapping[str, Array]) -> Outcome:
        """Say `actions` in speaking order and advance."""
        for agent in self.game.agents:
            if agent in actions:
                self.say(agent, actions[agent])
        return self.advance()

    def play_episodes(self, acts: Mapping[str, ActFn], agent: str) -> tuple[Float, Float]:
        """Play one episode in every row; return rewards of `agent` and returns of equity, bar by bar, pooled."""
        self.begin(stagger=False)
        alive = np.ones(self.rows, dtype=bool)
        rewards, returns = [], []
        while alive.any():
            for name in self.game.agents:
                self.say(name, acts[name](self.observe(name)))
            outcome = self.advance()
            rewards.append(outcome.rewards[agent][alive])
            returns.append((outcome.result.equity / outcome.result.equity_before - 1.0)[alive])
            alive = alive & ~outcome.done
            if alive.any() and outcome.done.any():
                self.restart(outcome.done)
        return np.concatenate(rewards), np.concatenate(returns)

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that `load_state_dict` continues from exactly."""
        arrays = {f"sim.{name}": array for name, array in self.sim.state_dict().items()}
        arrays |= {f"memory.{name}": array.copy() for name, array in self.table.memory.items()}
        arrays |= {f"noise.{name}": array for name, array in self.noise.state_dict().items()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`; at a bar's start, before anyone spoke."""
        self.sim.load_state_dict({n.removeprefix("sim."): a for n, a in arrays.items() if n.startswith("sim.")})
        self.table.memory = {
            n.removeprefix("memory."): np.array(a) for n, a in arrays.items() if n.startswith("memory.")
        }
        self.table.said = {}
        self.noise.load_state_dict({n.removeprefix("noise."): a for n, a in arrays.items() if n.startswith("noise.")})
        self.rng.bit_generator.state = values["rng"]
