"""The search for knowledge of the future finds nothing in the multi-agent games, and finds one that is planted."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.features import build_dataset
from mtquant.data.market import Market
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.risk import RiskGame, risk_ground
from mtquant.envs.games.strategic import StrategicGame
from mtquant.envs.games.tactical import TacticalGame
from mtquant.envs.games.team import TeamGame
from mtquant.envs.ground import FEATURES, Ground, settings
from mtquant.evaluation.causality import LeakFound, Search, assert_causal
from mtquant.evaluation.causality.perturbation import random_walk
from mtquant.evaluation.causality.pipelines import split_of, trained_until

SPEC = read_games({block: {"environment": {"warmup_steps": 65}} for block in ("strategic_marl", "tactical_marl")})
STEPS = 60
SEARCH = Search(trials=5, steps=12, fill_trials=3)


def ground_of(dataset: Dataset, account) -> Ground:
    return Ground(dataset, settings(dataset.market.symbols, account, STEPS))


def risk_game(dataset: Dataset) -> RiskGame:
    """Crashes are planted before anything is computed, so they are part of what is searched."""
    chosen = read_games({"risk_management": {"environment": {"warmup_steps": 30, "black_swan_rate": 0.02}}})
    return RiskGame(risk_ground(dataset, chosen.risk_management, STEPS, seed=0), chosen.risk_management, STEPS)


GAMES = {
    "strategic": lambda d: StrategicGame(ground_of(d, SPEC.strategic_marl.environment), SPEC.strategic_marl, STEPS),
    "tactical": lambda d: TacticalGame(ground_of(d, SPEC.tactical_marl.environment), SPEC.tactical_marl, STEPS),
    "risk": risk_game,
    "team": lambda d: TeamGame(ground_of(d, SPEC.strategic), SPEC.strategic, "strategic", STEPS),
}


def factory(name, alter=lambda game: game):
    def build(market: Market) -> GameEngine:
        dataset = build_dataset(market, split_of(market, len(market.time)), FEATURES, planted=False)
        game = alter(GAMES[name](dataset))
        return GameEngine(game, dataset.splits.test, 2, Streams(0).rng("unused"))

    return build


@pytest.mark.parametrize("name", GAMES)
def test_games_know_nothing_of_the_future(name):
    market = random_walk(SEARCH.streams, ("EURUSD", "XAUUSD"))
    assert_causal(factory(name), market, fitted_until=trained_until(market), search=SEARCH)


def test_a_column_that_looks_ahead_is_found():
    market = random_walk(SEARCH.streams, ("EURUSD", "XAUUSD"))

    def looking(game: StrategicGame) -> StrategicGame:
        table = np.array(game.window.table)
        table[:-1, :, 0] = table[1:, :, 0]
        game.window = replace(game.window, table=table)
        return game

    with pytest.raises(LeakFound, match="observation of mlmi_expert"):
        assert_causal(factory("strategic", looking), market, fitted_until=trained_until(market), search=SEARCH)
