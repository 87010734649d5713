"""The best that the execution desk and the risk desk can do, as words of their agents, and what any play is worth.

Execution: an order's optimum is a convex quadratic programme over slices and venues; with equal fees it is the closed
form of Almgren and Chriss (2000). Risk: on the market of `sizing.sizing_bars` the desk is a chain of regimes and
levels, solved by value iteration (`sizing.solve_sizing`) for somebody who sees the regime.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import quadprog

from mtquant.envs.engine import GameEngine
from mtquant.envs.games.execution import ROUTING_SCALE
from mtquant.envs.games.order_desk import OrderDesk
from mtquant.envs.games.order_engine import OrderEngine
from mtquant.envs.games.risk import DEFAULT_COST, MIDDLE, RiskGame
from mtquant.synthetic.sizing import MOVES, SizingOptimum, SizingParams
from mtquant.types import Float, Int

Words = Mapping[str, Float]
SMALLEST_SHARE = 1e-6
"""Share of a venue that is not used, so that it has a logarithm."""


def optimal_slices(desk: OrderDesk, size: float, impact: Float) -> Float:
    """Return `[steps, V]` shares that sell `size` at least cost and risk, `impact` [V] being that of the venues."""
    params, steps, venues = desk.params, desk.order_steps, len(impact)
    after = np.tril(np.ones((steps, steps)))
    total = np.kron(np.eye(steps), np.ones((1, venues)))
    risk_price = params.risk_aversion * params.volatility**2 * params.tau
    # sum of s_j left_j is (X^2 - sum of s_j^2) / 2, which keeps the programme convex
    schedule = risk_price * after.T @ after - 0.5 * params.permanent_impact * np.eye(steps)
    curvature = 2.0 * (np.diag(np.tile(impact / params.tau, steps)) + total.T @ schedule @ total)
    pull = 2.0 * risk_price * size * total.T @ after.T @ np.ones(steps)
    pull -= np.tile(desk.share_cost + params.half_spread, steps)
    everything = np.concatenate([np.ones((steps * venues, 1)), np.eye(steps * venues)], axis=1)
    bounds = np.concatenate([[size], np.zeros(steps * venues)])
    slices: Float = quadprog.solve_qp(curvature, pull, everything, bounds, 1)[0]
    return np.maximum(slices, 0.0).reshape(steps, venues)


def even_slices(desk: OrderDesk, size: float, impact: Float) -> Float:
    """Return `[steps, V]` the slices of TWAP, each routed at least cost."""
    piece = np.array([size / desk.order_steps])
    split = desk.best_split(piece, impact[None])[0]
    return np.tile(piece[0] * split, (desk.order_steps, 1))


@dataclass
class SlicePlan:
    """Words of the desk that follow planned slices, whatever the rows' orders are."""

    plan: Callable[[OrderDesk, float, Float], Float]
    _known: dict[tuple[float, ...], Float] = field(default_factory=dict)

    def __call__(self, engine: OrderEngine) -> Words:
        """Return the words of every agent for the present step."""
        orders, desk = engine.orders, engine.game
        slices = np.empty((engine.rows, len(desk.venue_names)))
        for row in range(engine.rows):
            key = (float(orders.size[row]), *orders.impact[row].tolist())
            if key not in self._known:
                self._known[key] = self.plan(desk, key[0], orders.impact[row])
            slices[row] = self._known[key][min(int(orders.step[row]), desk.order_steps - 1)]
        sold = slices.sum(axis=1)
        share = np.clip(sold / np.maximum(orders.left, 1e-12), 0.0, 1.0)
        logits = np.log(np.maximum(slices / np.maximum(sold, 1e-12)[:, None], SMALLEST_SHARE))
        logits = (logits - logits.max(axis=1, keepdims=True)) / ROUTING_SCALE + 1.0
        one, zero = np.ones((engine.rows, 1)), np.zeros((engine.rows, 1))
        return {
            "position_sizing": (2.0 * share - 1.0)[:, None],
            "stop_target": one,
            "risk_monitor": one,
            "portfolio_optimizer": zero,
            "routing": np.clip(logits, -1.0, 1.0),
        }


def worked(engine: OrderEngine, words: Callable[[OrderEngine], Words]) -> Float:
    """Return `[N]` what an episode of `words` was worth per order, the mean of TWAP being -1, price noise left out."""
    engine.begin(stagger=False)
    params = engine.game.params
    total, done = np.zeros(engine.rows), False
    while not done:
        unit = engine.orders.twap
        outcome = engine.play(words(engine))
        left = outcome.result.exposure[:, 0]
        held = params.risk_aversion * params.volatility**2 * params.tau * left**2
        total -= (outcome.result.cost[:, 0] + held) / unit
        done = bool(outcome.done.all())
    return total / (engine.game.steps / engine.game.order_steps)


def excess_over_twap(learned: Float, best: Float, even: Float) -> float:
    """Return (U - U_twap) / (U* - U_twap) of episodes with the same orders, each a result of `worked`."""
    return float((learned.mean() - even.mean()) / (best.mean() - even.mean()))


def chain_of(game: RiskGame, sizing: SizingParams) -> SizingParams:
    """Return the chain that the risk desk plays on the market of `sizing` with equal weights and nothing in the way.

    Leverage A of a level is the sum over instruments; K of them with independent shocks have the variance of one
    whose volatility is 1 / sqrt(K).
    """
    count = len(game.dataset.market.symbols)
    per_risk = game.unit_risk * game.dataset.market.close[0] / np.asarray(game.dataset.point_volatility)[0]
    unit = float((game.view.exposures(game.view.equal[None], np.ones(1))[0] * per_risk).sum())
    agents = game.settings.agents
    return SizingParams(
        mean=sizing.mean,
        volatility=tuple(v / float(np.sqrt(count)) for v in sizing.volatility),
        stay=sizing.stay,
        levels=tuple(level * unit for level in agents.position_sizing.levels),
        fraction=agents.position_sizing.kelly_fraction,
        cost=DEFAULT_COST,
        # the desk's budget of value at risk does not bind
        value_at_risk=1.0,
        bars_per_year=sizing.bars_per_year,
    )


@dataclass(frozen=True)
class RegimeDesk:
    """Words of the risk desk for somebody who sees the regime: size by the chain's optimum, all else out of the way."""

    optimum: SizingOptimum
    regime: Int
    """[T] regime of the bar that follows."""

    def __call__(self, engine: GameEngine) -> Words:
        """Return the words of every agent for the present bar."""
        memory = engine.table.memory
        move = self.optimum.action[self.regime[engine.sim.state.t], memory["levels"][:, 0]]
        hold, raise_ = np.full((engine.rows, 1), float(MIDDLE)), np.full((engine.rows, 1), len(MOVES) - 1.0)
        return {
            "position_sizing": move[:, None].astype(np.float64),
            "stop_target": raise_,
            "risk_monitor": raise_,
            "portfolio_optimizer": hold,
        }


def desk_worth(
    engine: GameEngine, words: Callable[[GameEngine], Words], chain: SizingParams, regime: Int, bars: int
) -> Float:
    """Return `[N]` the mean worth per bar of playing `words`, as a share of equity, noise left out.

    What a bar is worth follows from leverage, regime and trades exactly as in the chain; the first bars of an episode,
    in which levels move to where they belong, count like the others.
    """
    game: RiskGame = engine.game  # type: ignore[assignment]
    count = len(game.dataset.market.symbols)
    total = np.zeros(engine.rows)
    engine.begin(stagger=False)
    held = np.zeros((engine.rows, count))
    scale = np.asarray(game.dataset.point_volatility) / game.dataset.market.close
    variance = chain.variance * count
    for _ in range(bars):
        t = engine.sim.state.t
        outcome = engine.play(words(engine))
        leverage = outcome.result.exposure * game.unit_risk / scale[t]
        earned = leverage.sum(axis=1) * chain.mean / chain.bars_per_year
        risk_paid = 0.5 / chain.fraction * variance[regime[t]] * (leverage**2).sum(axis=1)
        total += earned - risk_paid - chain.cost * np.abs(leverage - held).sum(axis=1)
        held = leverage
        if outcome.done.any():
            break
    return total / bars
