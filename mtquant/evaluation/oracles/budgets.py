"""Budgets over groups: the quadratic programme behind the equal, static and phase-2 reference allocations."""

from itertools import product

import numpy as np

from mtquant.data.market import Market
from mtquant.evaluation.oracles.books import Moments
from mtquant.synthetic.planted import Objective
from mtquant.types import Float

_MAX_GROUPS = 8


def non_negative_optimum(linear: Float, quadratic: Float) -> Float:
    """Return `[N, G]` argmax over a >= 0 of a'mu - a'Ha/2 for `linear [N, G]`, positive semi-definite `[N, G, G]`.

    Solves every active set exactly (2^G of them); a direction without risk or edge gets 0.
    """
    groups = linear.shape[1]
    if groups > _MAX_GROUPS:
        raise ValueError(f"{groups} groups would need {2**groups} active sets; at most {_MAX_GROUPS} are solved.")
    best: Float = np.zeros_like(linear)
    best_value = np.zeros(len(linear))
    for mask in product((False, True), repeat=groups):
        free = np.flatnonzero(mask)
        if not len(free):
            continue
        solved = np.zeros_like(linear)
        inverse = np.linalg.pinv(quadratic[:, free[:, None], free], hermitian=True)
        solved[:, free] = np.einsum("nij,nj->ni", inverse, linear[:, free])
        value = 0.5 * np.einsum("ni,ni->n", linear, solved)  # a'mu - a'Ha/2 at a stationary point
        better = (solved >= 0).all(axis=1) & (value > best_value)
        best = np.where(better[:, None], solved, best)
        best_value = np.where(better, value, best_value)
    return best


def constant_budgets(moments: Moments, objective: Objective, common: bool) -> Float:
    """Return `[G]` the best budgets that never change; `common` gives every group the same."""
    linear = moments.weight @ moments.edge
    quadratic = _quadratic(moments, objective, moments.weight[None])[0]
    if common:
        scale = non_negative_optimum(linear.sum()[None, None], quadratic.sum()[None, None, None])[0, 0]
        return np.full(len(linear), float(scale))
    found: Float = non_negative_optimum(linear[None], quadratic[None])[0]
    return found


def best_budgets(moments: Moments, objective: Objective, belief: Float, transition: Float, decision_bars: int) -> Float:
    """Return `[T, G]` the budgets wanted at each bar for the next `decision_bars`, given `belief [T, S]`."""
    ahead = np.mean([np.linalg.matrix_power(transition, k) for k in range(decision_bars)], axis=0)
    expected = belief @ ahead
    return non_negative_optimum(expected @ moments.edge, _quadratic(moments, objective, expected))


def decided_budgets(market: Market, wanted: Float, warmup: int, decision_bars: int, smoothing: float) -> Float:
    """Return `[T, G]` budgets in force: decided every `decision_bars` after the warm-up, moved part of the way.

    A jump of the budgets is a trade, hence the smoothing; the first decision is taken in full.
    """
    budgets = np.zeros_like(wanted)
    for start, stop in market.history_bounds():
        held = wanted[min(start + warmup, stop - 1)]
        for bar in range(start + warmup, stop, decision_bars):
            held = held + smoothing * (wanted[bar] - held)
            budgets[bar : min(bar + decision_bars, stop)] = held
    return budgets


def _quadratic(moments: Moments, objective: Objective, weight: Float) -> Float:
    """Return `[N, G, G]` g E[x_g'R x_h] + l diag E|dx_g|^2 under regime weights `[N, S]`."""
    risk = np.einsum("ns,sgh->ngh", weight, moments.second)
    trades = (weight @ moments.trades)[:, :, None] * np.eye(moments.trades.shape[1])
    out: Float = objective.g * risk + objective.impact * trades
    return out
