"""Unseen episodes of the four environments on which teams are compared with the optimum, noise left out.

Markets are fresh ones, each of them one observation; of the execution game, where every order is drawn anew, an episode
is one. Whoever plays a stage meets the same episodes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mtquant.config.games import GamesSpec
from mtquant.config.marl import TrainingMode
from mtquant.context import Streams
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.envs.games.order_desk import OrderDesk
from mtquant.envs.games.order_engine import OrderEngine
from mtquant.envs.games.risk import HISTORY_BARS, SIZING, RiskGame, histories_of, risk_ground
from mtquant.envs.games.strategic import StrategicGame
from mtquant.envs.games.tactical import TacticalGame
from mtquant.envs.ground import DEFAULT_SYMBOLS, default_market, ground_of
from mtquant.evaluation.oracles.desks import (
    RegimeDesk,
    SlicePlan,
    chain_of,
    desk_worth,
    even_slices,
    optimal_slices,
    worked,
)
from mtquant.evaluation.oracles.directions import KnownEdge, best_known, expected_sharpe
from mtquant.synthetic.sizing import sizing_bars, solve_sizing
from mtquant.types import Float

Words = Callable[[Any], Mapping[str, Float]]
"""From an engine to what every agent says now."""
FIRST_MARKET = 20_170_000
"""Seed of the first fresh market; trainings are on market 0."""
SMALL: dict[str, Any] = {"train_histories": None}


@dataclass(frozen=True)
class Size:
    """How much is played."""

    markets: int = 8
    rows: int = 16
    bars: int = 250
    orders: int = 128
    """Episodes of the execution game."""


@dataclass(frozen=True)
class Stage:
    """Episodes, and who earns most there."""

    play: Callable[[Words], Float]
    """From words to what they were worth, one number per observation."""
    best: Words
    """The optimum, or of votes the best known reference."""
    zero: Words | None = None
    """What the worth is counted from; none: what is worth nothing."""


def stages_of(mode: TrainingMode, bars: str | None, games: GamesSpec, size: Size) -> Iterator[Stage]:
    """Yield the stages of an environment; `bars` names the planted market of a voting game (None: the default one)."""
    if mode is TrainingMode.EXECUTION:
        return orders(games, size)
    return sized_markets(games, size) if mode is TrainingMode.RISK else edged_markets(mode, bars, games, size)


def orders(games: GamesSpec, size: Size) -> Iterator[Stage]:
    """Yield the execution game; worth is counted from TWAP."""
    settings = games.execution
    desk = OrderDesk(settings, settings.environment.max_episode_steps)

    def play(words: Words) -> Float:
        return worked(OrderEngine(desk, size.orders, Streams(FIRST_MARKET).rng("orders")), words)

    yield Stage(play, SlicePlan(optimal_slices), SlicePlan(even_slices))


def sized_markets(games: GamesSpec, size: Size) -> Iterator[Stage]:
    """Yield fresh markets of the risk game."""
    world = games.risk_management.environment.model_copy(update=SMALL)
    settings = games.risk_management.model_copy(update={"environment": world})
    for seed in range(FIRST_MARKET, FIRST_MARKET + size.markets):
        game = RiskGame(risk_ground(None, settings, size.bars, seed), settings, size.bars)
        regime = sizing_bars(SIZING, Streams(seed), DEFAULT_SYMBOLS, histories_of(world), HISTORY_BARS).regime
        chain = chain_of(game, SIZING)
        make = partial(_engine, game, size)

        def play(words: Words, make: Any = make, chain: Any = chain, regime: Any = regime) -> Float:
            worth: Float = desk_worth(make(), words, chain, regime, size.bars).mean(keepdims=True)
            return worth

        yield Stage(play, RegimeDesk(solve_sizing(chain), regime))


def edged_markets(mode: TrainingMode, bars: str | None, games: GamesSpec, size: Size) -> Iterator[Stage]:
    """Yield fresh markets of the voting games; the reference is the one that earns most on the first."""
    known: KnownEdge | None = None
    for seed in range(FIRST_MARKET, FIRST_MARKET + size.markets):
        game, truth = _voting_game(mode, bars, games, size.bars, seed), default_market(bars, seed).truth
        make = partial(_engine, game, size)
        known = known or best_known(make, truth, size.bars)

        def play(words: Words, make: Any = make, truth: Any = truth) -> Float:
            return np.array([expected_sharpe(make(), words, truth, size.bars)])

        yield Stage(play, KnownEdge(game.dataset.market, truth, known.band, known.half_life, known.step))


def _voting_game(mode: TrainingMode, bars: str | None, games: GamesSpec, length: int, seed: int) -> MarketGame:
    if mode is TrainingMode.STRATEGIC:
        experts = games.strategic_marl
        ground = ground_of(bars, experts.environment.model_copy(update=SMALL), length, seed=seed)
        return StrategicGame(ground, experts, length)
    tacticians = games.tactical_marl
    ground = ground_of(bars, tacticians.environment.model_copy(update=SMALL), length, seed=seed)
    return TacticalGame(ground, tacticians, length)


def _engine(game: MarketGame, size: Size) -> GameEngine:
    """Return rows on the train split of a fresh market, its longest part, which nobody was trained on."""
    return GameEngine(game, game.dataset.splits.train, size.rows, Streams(FIRST_MARKET).rng("episodes"))
