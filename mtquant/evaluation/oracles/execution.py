"""Schedules of the execution game as policies, and what any policy of it is worth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtquant.envs.games.execution import ExecutionGame
from mtquant.evaluation.statistics import Interval, mean_of
from mtquant.synthetic.almgren_chriss import (
    ExecutionParams,
    even_holdings,
    immediate_holdings,
    optimal_holdings,
    routing,
)
from mtquant.types import ActFn, Array, Float


@dataclass(frozen=True)
class Schedule:
    """`ActFn` of the execution game that follows given holdings by the clock."""

    actions: Float
    """[N, a]"""

    def __call__(self, observation: Array, /) -> Float:
        """Return the action of the present step `[rows, a]`."""
        steps = len(self.actions)
        step = np.rint((1.0 - observation[:, 1].astype(np.float64)) * steps).astype(np.int64)
        taken: Float = self.actions[step]
        return taken


def schedule(name: str, params: ExecutionParams) -> Schedule:
    """Return `optimum`, `twap` or `immediate`, optimally routed."""
    return Schedule(ExecutionGame(params).encode(HOLDINGS[name](params), routing(params)))


HOLDINGS: dict[str, Callable[[ExecutionParams], Float]] = {
    "optimum": optimal_holdings,
    "twap": even_holdings,
    "immediate": immediate_holdings,
}


@dataclass(frozen=True)
class Executed:
    """Orders that were carried out; `[rows]` each."""

    cost: Float
    """Expected cost of the trades that were made."""
    noise: Float
    """What prices added to it."""
    exposure: Float
    """sum of tau left^2: variance over sigma^2."""
    params: ExecutionParams

    @property
    def utility(self) -> Interval:
        """-(E + lambda V), with the variance that the holdings imply."""
        params = self.params
        return mean_of(-(self.cost + params.risk_aversion * params.volatility**2 * self.exposure))


def execute(act: ActFn, params: ExecutionParams, rows: int, rng: np.random.Generator) -> Executed:
    """Carry out `rows` orders by policy `act`."""
    game = ExecutionGame(params)
    left = np.full(rows, params.shares)
    cost, noise, exposure = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for index in range(params.steps):
        step = np.full(rows, index)
        share, split = game.decode(step, np.asarray(act(game.observe(step, left))))
        fill = game.fill(left, share, split, rng.standard_normal(rows))
        left = fill.left
        cost, noise = cost + fill.cost, noise + fill.noise
        exposure = exposure + params.tau * left**2
    return Executed(cost, noise, exposure, params)
