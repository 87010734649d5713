"""What the documented environments share: settings, bars, switches, and the batch that they are trained on."""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import numpy as np

from mtquant.config.games import Config, GamesSpec, read_games
from mtquant.envs.aec import EngineAECEnv, EngineParallelEnv, MakeEngine, OneRow, market_engine
from mtquant.envs.engine import Engine
from mtquant.envs.game import MarketGame, Table
from mtquant.envs.ground import Bars
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.watch import Switches
from mtquant.errors import UsageError


class GameView(ABC):
    """One row of a documented game and the methods that the documents give its environment.

    config: mapping or YAML file in the documents' spelling (`read_games`). bars: see `ground.Bars`. split: part of the
    bars that episodes are drawn from. seed: of the episodes, and of the default market. max_cycles: bars per episode
    instead of the configured ones. Raises `ConfigError` for settings, `DataError` for bars.
    """

    row: OneRow

    def __init__(
        self,
        config: Config = None,
        *,
        bars: Bars = None,
        split: str = "train",
        seed: int = 0,
        render_mode: str | None = None,
        max_cycles: int | None = None,
    ) -> None:
        spec = read_games(config)
        if max_cycles is not None and max_cycles < 1:
            raise UsageError(f"`max_cycles` is {max_cycles}; an episode has at least one step.")
        self.config = spec
        make = self.engines(spec, bars, split, seed, max_cycles)
        # the environment beside this class in the bases of `DocumentedAEC` and `DocumentedParallel`
        super().__init__(make, seed, switches=Switches.of(spec), render_mode=render_mode, strict=True)  # type: ignore[call-arg]

    @abstractmethod
    def engines(self, spec: GamesSpec, bars: Bars, split: str, seed: int, max_cycles: int | None) -> MakeEngine:
        """Return what makes engines of this game: rows and random numbers to an engine."""

    def batch(self, rows: int, rng: np.random.Generator) -> MultiAgentVecEnv[Engine]:
        """Return N rows of the same game: what is trained on."""
        return MultiAgentVecEnv(self.row.make(rows, rng))

    @property
    def _table(self) -> Table:
        table: Table = self.row.engine.table  # type: ignore[attr-defined]
        return table


def engines_of(game: MarketGame, split: str) -> MakeEngine:
    """Return what makes engines of a game over bars on one part of them."""
    return partial(market_engine, game, game.dataset.splits[split])


class DocumentedAEC(GameView, EngineAECEnv):
    """A documented game, agent by agent."""


class DocumentedParallel(GameView, EngineParallelEnv):
    """A documented game, all agents at once."""


def named(names: tuple[str, ...], values: Any) -> dict[str, float]:
    """Return `values` [m] by name, as plain numbers."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}
