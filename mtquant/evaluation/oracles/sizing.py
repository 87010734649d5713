"""Sizing oracles as policies, and what they earn when played."""

import numpy as np

from mtquant.evaluation.oracles.policies import PartialAdjustment
from mtquant.evaluation.oracles.simulated import simulate
from mtquant.evaluation.statistics import Interval, mean_of
from mtquant.synthetic.planted import Planted
from mtquant.synthetic.sizing import SizingOptimum, SizingParams
from mtquant.types import ActFn, Array, Float, Int


def kelly_policy(planted: Planted, fraction: float = 1.0) -> PartialAdjustment:
    """Hold a fraction of Kelly in every instrument of a market of independent, constant means."""
    mean = planted.truth.alpha[0]
    # Exposure 1 has a mean of alpha u0 and a risk of u0 per bar.
    held = np.broadcast_to(fraction * mean / planted.objective.unit_risk, planted.truth.alpha.shape)
    return PartialAdjustment(np.array(held), np.eye(held.shape[1]))


def simulated_growth(policy: ActFn, planted: Planted, market: str, warmup: int = 0) -> Interval:
    """Return the log growth per bar in the simulator, with the market's noise taken out as a control variate.

    One instrument. The return less its expectation has mean zero, whatever the policy, and is nearly all of the
    noise of the logarithm.
    """
    result = simulate(policy, planted, market, warmup, limits=False)
    exposure, bar = result.exposure[:, :, 0], result.bar
    expected = exposure * planted.truth.alpha[bar, 0] * planted.objective.unit_risk
    grown = np.log1p(result.returns) - (result.returns - expected)
    return mean_of(grown.mean(axis=0))


def level_policy(optimum: SizingOptimum) -> ActFn:
    """Return the risk agent's optimum as an `ActFn`: regime and level `[N, 2]` to the index of a move `[N, 1]`."""

    def act(observation: Array, /) -> Int:
        seen = observation.astype(np.int64)
        return optimum.action[seen[:, 0], seen[:, 1]][:, None]

    return act


def play_levels(act: ActFn, params: SizingParams, rows: int, bars: int, rng: np.random.Generator) -> Float:
    """Return `[rows]` the mean worth per bar of policy `act` on the chain, from no exposure and a drawn regime."""
    states = len(params.volatility)
    regime, level = rng.integers(states, size=rows), np.zeros(rows, dtype=np.int64)
    cumulative = np.cumsum(params.transition, axis=1)
    total = np.zeros(rows)
    for _ in range(bars):
        action = np.asarray(act(np.stack([regime, level], axis=1)))[:, 0]
        landed = params.landed(regime, level, action)
        total += params.paid(regime, level, landed)
        level = landed
        regime = (rng.random(rows)[:, None] > cumulative[regime, :-1]).sum(axis=1)
    return total / bars
