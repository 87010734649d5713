"""The optima of the execution and the risk desk: exact where theory is, and what the environments really pay."""

import numpy as np
import pytest

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.order_desk import OrderDesk
from mtquant.envs.games.order_engine import OrderEngine
from mtquant.envs.games.risk import HISTORIES, HISTORY_BARS, SIZING, RiskGame, risk_ground
from mtquant.envs.ground import DEFAULT_SYMBOLS
from mtquant.evaluation.oracles.desks import (
    RegimeDesk,
    SlicePlan,
    chain_of,
    desk_worth,
    even_slices,
    excess_over_twap,
    optimal_slices,
    worked,
)
from mtquant.synthetic.almgren_chriss import even_holdings, objective, optimal_holdings, routing
from mtquant.synthetic.sizing import sizing_bars, solve_sizing

VENUES = ("venue_a", "venue_b", "venue_c")
FREE = {name: {"fee": 0.0, "latency": 0.0} for name in VENUES}
ROWS = 8


def desk_of(steps: int = 100, **environment) -> OrderDesk:
    return OrderDesk(read_games({"execution": {"environment": environment}}).execution, steps)


def engine_of(desk: OrderDesk, seed: int = 0) -> OrderEngine:
    return OrderEngine(desk, ROWS, Streams(seed).rng("orders"))


def test_without_fees_the_optimum_is_the_closed_form():
    desk = desk_of(venues=FREE)
    slices = optimal_slices(desk, 1.0, 1.0 / desk.depth)
    np.testing.assert_allclose(slices.sum(axis=1), -np.diff(optimal_holdings(desk.params)), atol=1e-12)
    np.testing.assert_allclose(slices / slices.sum(axis=1, keepdims=True), np.tile(routing(desk.params), (20, 1)))
    assert desk.twap(np.ones(1), 1.0 / desk.depth[None])[0] == pytest.approx(
        objective(desk.params, even_holdings(desk.params))
    )


def cost_and_risk(desk: OrderDesk, slices: np.ndarray, impact: np.ndarray) -> float:
    sold = slices.sum(axis=1)
    left = sold.sum() - np.cumsum(sold)
    venues = (slices * desk.share_cost + slices**2 * impact / desk.params.tau).sum()
    risk = desk.params.risk_aversion * desk.params.volatility**2 * desk.params.tau * (left**2).sum()
    return venues + desk.params.permanent_impact * (sold * left).sum() + risk


@pytest.mark.parametrize("size", [0.02, 0.4, 1.0])
def test_no_other_slices_cost_less(size):
    desk = desk_of()
    rng = Streams(1).rng("other")
    impact = 1.0 / desk.depth * np.array([1.3, 0.8, 1.0])
    best = optimal_slices(desk, size, impact)
    least = cost_and_risk(desk, best, impact)
    assert best.sum() == pytest.approx(size) and best.min() >= 0.0
    assert least < cost_and_risk(desk, even_slices(desk, size, impact), impact)
    for _ in range(50):
        other = np.maximum(best + 0.02 * size * rng.standard_normal(best.shape), 0.0)
        other *= size / other.sum()
        assert cost_and_risk(desk, other, impact) > least


def test_the_split_of_least_cost_equals_marginal_costs():
    desk = desk_of()
    impact = np.tile(1.0 / desk.depth, (3, 1))
    sold = np.array([1e-4, 0.01, 0.3])
    split = desk.best_split(sold, impact)
    np.testing.assert_allclose(split.sum(axis=1), 1.0)
    marginal = desk.share_cost + 2.0 * impact * split * sold[:, None] / desk.params.tau
    for row in range(3):
        used = split[row] > 0.0
        assert np.ptp(marginal[row, used]) < 1e-12
        assert (marginal[row, ~used] >= marginal[row, used].max() - 1e-12).all()
    assert (split[0] > 0.0).sum() < 3, "a small slice goes to the cheap venues only"


def test_the_environment_pays_what_plans_are_worth():
    desk = desk_of(depth_variation=0.3)
    best, even = (worked(engine_of(desk), SlicePlan(plan)) for plan in (optimal_slices, even_slices))
    np.testing.assert_allclose(even, -1.0, atol=1e-4)
    engine = engine_of(desk)
    engine.begin(stagger=False)
    memory = engine.memory
    for row in range(ROWS):
        worth = []
        for size, depth, twap in zip(memory["sizes"][row], memory["depths"][row], memory["twap"][row], strict=True):
            impact = 1.0 / (desk.depth * depth)
            worth.append(-cost_and_risk(desk, optimal_slices(desk, float(size), impact), impact) / twap)
        assert best[row] == pytest.approx(np.mean(worth), abs=2e-3)
    rng = Streams(0).rng("actions")
    random = worked(engine_of(desk), lambda e: {a: desk.actions(a).sample(rng, ROWS) for a in desk.agents})
    assert excess_over_twap(best, best, even) == 1.0 and excess_over_twap(even, best, even) == 0.0
    assert excess_over_twap(random, best, even) < 0.0


def risk_desk():
    settings = read_games({"risk_management": {"environment": {"black_swan_rate": 0.0}}}).risk_management
    ground = risk_ground(None, settings, 300, seed=0)
    made = sizing_bars(SIZING, Streams(0), DEFAULT_SYMBOLS, HISTORIES, HISTORY_BARS)
    np.testing.assert_array_equal(made.market.close, ground.dataset.market.close)
    return RiskGame(ground, settings, 300), made.regime


def test_the_risk_desk_earns_what_its_chain_says_and_volatility_alone_earns_nine_tenths():
    game, regime = risk_desk()
    chain = chain_of(game, SIZING)
    optimum = solve_sizing(chain)
    regime_desk = RegimeDesk(optimum, regime)

    def worth(words) -> np.ndarray:
        engine = GameEngine(game, game.dataset.splits.train, 32, Streams(0).rng("episodes"))
        return desk_worth(engine, words, chain, regime, 300)

    def by_volatility(engine):
        level = np.where(game.observe("risk_monitor", engine.table)[:, 2] < -0.2, 4, 1)
        move = 2.0 + np.clip(level - engine.table.memory["levels"][:, 0], -2, 2)
        return {**regime_desk(engine), "position_sizing": move[:, None]}

    def constant(level):
        return lambda engine: {
            **regime_desk(engine),
            "position_sizing": 2.0 + np.clip(level - engine.table.memory["levels"][:, :1], -2.0, 2.0),
        }

    best = worth(regime_desk)
    # regimes last a hundred bars, so few of them are in an episode
    assert best.mean() == pytest.approx(optimum.value, rel=0.25)
    assert 0.9 < worth(by_volatility).mean() / best.mean() < 1.0
    for level in range(5):
        assert worth(constant(level)).mean() < 0.75 * best.mean()
