"""The exact value of allocating by the filter on the hidden-regime market."""

import numpy as np

from mtquant.evaluation.oracles.budgets import allocation_optimum
from mtquant.synthetic.catalogue import CATALOGUE, GROUPS
from mtquant.synthetic.hidden_regime import RegimeParams
from mtquant.types import Float

NODES = 4001
_TOLERANCE = 1e-9


def filter_value(params: RegimeParams, symbols: tuple[str, ...], decision_bars: int = 1) -> float:
    """Return the utility per bar of the best allocation that is decided by the filter every `decision_bars`.

    A decision maximises w'm - (g/2) w'Rw with m the mean over the bars it will be held, under the caps; nothing
    it does moves the belief, so this is optimal, and its value is the mean over the belief's stationary law.
    """
    belief = np.linspace(0.0, 1.0, NODES)
    ahead = np.mean([np.linalg.matrix_power(params.transition, k) for k in range(decision_bars)], axis=0)
    expected = np.stack([1.0 - belief, belief], axis=1) @ ahead
    return _stationary_mean(params, best_utility(params, symbols, expected))


def constant_value(params: RegimeParams, symbols: tuple[str, ...]) -> float:
    """Return the utility per bar of the best allocation that never changes."""
    return float(best_utility(params, symbols, np.full((1, 2), 0.5))[0])


def best_utility(params: RegimeParams, symbols: tuple[str, ...], belief: Float) -> Float:
    """Return `[N]` max of w'm - (g/2) w'Rw under the caps for beliefs `[N, 2]`."""
    means = belief @ params.means[:, [GROUPS.index(CATALOGUE[s].group) for s in symbols]]
    count = len(symbols)
    risk = params.risk_aversion_per_bar * (params.correlation + (1.0 - params.correlation) * np.eye(count))
    best = allocation_optimum(means, risk[None], params.position_cap, params.gross_cap)
    value: Float = np.einsum("ni,ni->n", best, means) - 0.5 * np.einsum("ni,ij,nj->n", best, risk, best)
    return value


def _stationary_mean(params: RegimeParams, values: Float) -> float:
    """Return the mean of `values` [NODES], a function of the belief, over its stationary distribution.

    The expectation one observation ahead is applied until nothing is left but a constant.
    """
    belief = np.linspace(0.0, 1.0, NODES)
    before = np.stack([1.0 - belief, belief], axis=1) @ params.transition
    joint = before[:, None, :] * params.likelihood  # [NODES, observation, regime]
    chance = joint.sum(axis=2)
    after = joint[:, :, 1] / chance
    while np.ptp(values) > _TOLERANCE:
        ahead = np.interp(after, belief, values)
        values = (chance * ahead).sum(axis=1)
    return float(values.mean())
