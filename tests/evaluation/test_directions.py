"""Votes on the default market: who knows the edge earns, who knows nothing pays costs, and columns show part of it."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.strategic import StrategicMarketEnv
from mtquant.envs.games.tactical import TacticalMarketEnv
from mtquant.envs.ground import default_market
from mtquant.evaluation.oracles.directions import KnownEdge, best_known, expected_sharpe

ROWS, BARS = 48, 120


@pytest.mark.parametrize("env", [StrategicMarketEnv, TacticalMarketEnv])
def test_the_edge_is_worth_something_and_the_columns_show_much_of_it(env):
    game = env(seed=0).row.engine.game
    truth = default_market(None, 0).truth

    def make() -> GameEngine:
        return GameEngine(game, game.dataset.splits.test, ROWS, Streams(1).rng("episodes"))

    reference = best_known(make, truth, BARS)
    best = expected_sharpe(make(), reference, truth, BARS)
    rng = Streams(2).rng("actions")
    random = expected_sharpe(
        make(), lambda e: {a: rng.integers(0, 3, (ROWS, 1)).astype(float) for a in game.agents}, truth, BARS
    )
    wrong = expected_sharpe(make(), lambda e: {a: 2.0 - w for a, w in reference(e).items()}, truth, BARS)
    assert best > 0.04 and random < 0.0 and wrong < -0.5 * best
    assert reference.band > 0.0, "trading on every trace of an edge costs more than it earns"

    # a linear reading of the columns on the train split, used on the test split
    market, table = game.dataset.market, game.window.table
    weight = fitted(table, truth.alpha, np.flatnonzero(usable(market, game.dataset.splits.train)))
    seen = votes_by(weight, table, reference.band)
    assert 0.5 < expected_sharpe(make(), seen, truth, BARS) / best < 1.1


def usable(market, split) -> np.ndarray:
    inside = split.mask(len(market.time))
    for start, stop in market.history_bounds():
        inside[start : start + 150] = False
        inside[stop - 1] = False
    return inside


LAGS = (0, 1, 2, 4, 8, 16, 32)


def lagged(table, t, slot) -> np.ndarray:
    return np.concatenate([np.ones((len(t), 1)), *(table[t - lag, slot] for lag in LAGS)], axis=1)


def fitted(table, alpha, bars) -> np.ndarray:
    rows = [lagged(table, bars, np.full(len(bars), k)) for k in range(table.shape[1])]
    edges = np.concatenate([alpha[bars, k] for k in range(table.shape[1])])
    return np.linalg.lstsq(np.concatenate(rows), edges, rcond=None)[0]


def votes_by(weight, table, band):
    def words(engine):
        state = engine.sim.state
        edge = lagged(table, state.t, state.slots[:, 0]) @ weight
        vote = 1.0 + np.where(np.abs(edge) > band, np.sign(edge), 0.0)
        return dict.fromkeys(engine.game.agents, vote[:, None])

    return words


def test_a_band_of_everything_votes_neutral():
    game = StrategicMarketEnv(seed=0).row.engine.game
    truth = default_market(None, 0).truth
    engine = GameEngine(game, game.dataset.splits.test, 4, Streams(1).rng("episodes"))
    assert expected_sharpe(engine, KnownEdge(game.dataset.market, truth, 9.0), truth, 10) == 0.0
