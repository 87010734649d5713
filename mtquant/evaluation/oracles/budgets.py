"""Budgets over groups: the quadratic programme behind the equal, static and phase-2 reference allocations."""

import math
from itertools import product

import numpy as np

from mtquant.data.market import Market
from mtquant.evaluation.oracles.books import Moments
from mtquant.synthetic.planted import Objective
from mtquant.types import Float

_MOST_SETS = 4096


def allocation_optimum(linear: Float, quadratic: Float, cap: float = math.inf, total: float = math.inf) -> Float:
    """Return `[N, G]` argmax of a'mu - a'Ha/2 over 0 <= a <= cap, sum a <= total.

    `linear` [N, G]; `quadratic` [N, G, G] or, the same for all, [1, G, G], positive semi-definite. Solves the
    stationarity conditions of every active set exactly and keeps the best feasible point; a direction without risk
    or edge gets 0.
    """
    groups = linear.shape[1]
    states = (0.0, cap) if math.isfinite(cap) else (0.0,)
    sums = (False, True) if math.isfinite(total) else (False,)
    if (len(states) + 1) ** groups * len(sums) > _MOST_SETS:
        raise ValueError(f"{groups} groups have more active sets than {_MOST_SETS}, the most that are solved.")
    best: Float = np.zeros_like(linear)
    best_value = np.zeros(len(linear))
    for bounds in product((None, *states), repeat=groups):
        for binding in sums:
            found = _stationary(linear, quadratic, bounds, total if binding else None)
            if found is None:
                continue
            value = np.einsum("ni,ni->n", linear - 0.5 * np.einsum("nij,nj->ni", quadratic, found), found)
            slack = 1e-9 * (1.0 + total if binding else 1.0)
            feasible = (found >= -slack).all(axis=1) & (found <= cap + slack).all(axis=1)
            feasible &= found.sum(axis=1) <= total + slack
            better = feasible & (value > best_value)
            best = np.where(better[:, None], found, best)
            best_value = np.where(better, value, best_value)
    return np.clip(best, 0.0, cap)


def _stationary(linear: Float, quadratic: Float, bounds: tuple[float | None, ...], total: float | None) -> Float | None:
    """Return `[N, G]` the stationary point with some entries held at `bounds`, and the sum at `total` if given."""
    free = np.array([i for i, bound in enumerate(bounds) if bound is None], dtype=np.int64)
    found = np.tile(np.array([0.0 if bound is None else bound for bound in bounds]), (len(linear), 1))
    if not len(free):
        return found if total is None else None
    pull = linear[:, free] - np.einsum("nij,nj->ni", quadratic[:, free], found)
    inverse = np.linalg.pinv(quadratic[:, free[:, None], free], hermitian=True)
    if total is not None:
        # The multiplier of the sum: 1'H^-1 (pull - m 1) = what is left of the total.
        need = np.einsum("nij,nj->n", inverse, pull) - (total - found.sum(axis=1))
        unit = inverse.sum(axis=(1, 2))
        pull = pull - np.divide(need, unit, out=np.zeros_like(need), where=unit > 0)[:, None]
    found[:, free] = np.einsum("nij,nj->ni", inverse, pull)
    return found


def constant_budgets(moments: Moments, objective: Objective, common: bool) -> Float:
    """Return `[G]` the best budgets that never change; `common` gives every group the same."""
    linear = _linear(moments, objective, moments.weight[None])
    quadratic = _quadratic(moments, objective, moments.weight[None])
    if common:
        cap = min(objective.position_cap, objective.gross_cap / linear.shape[1])
        scale = allocation_optimum(linear.sum(keepdims=True), quadratic.sum(keepdims=True), cap)[0, 0]
        return np.full(linear.shape[1], float(scale))
    found: Float = allocation_optimum(linear, quadratic, objective.position_cap, objective.gross_cap)[0]
    return found


def best_budgets(moments: Moments, objective: Objective, belief: Float, transition: Float, decision_bars: int) -> Float:
    """Return `[T, G]` the budgets wanted at each bar for the next `decision_bars`, given `belief [T, S]`."""
    ahead = np.mean([np.linalg.matrix_power(transition, k) for k in range(decision_bars)], axis=0)
    expected = belief @ ahead
    linear, quadratic = _linear(moments, objective, expected), _quadratic(moments, objective, expected)
    if np.allclose(quadratic, quadratic[:1], rtol=1e-9, atol=0.0):
        quadratic = quadratic[:1]  # risk does not depend on the belief: one set of systems for all bars
    return allocation_optimum(linear, quadratic, objective.position_cap, objective.gross_cap)


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


def _linear(moments: Moments, objective: Objective, weight: Float) -> Float:
    """Return `[N, G]` E[x_g'alpha] - c E|dx_g| under regime weights `[N, S]`."""
    out: Float = weight @ (moments.edge - objective.spread * moments.volume)
    return out


def _quadratic(moments: Moments, objective: Objective, weight: Float) -> Float:
    """Return `[N, G, G]` g E[x_g'R x_h] + l diag E|dx_g|^2 under regime weights `[N, S]`."""
    risk = np.einsum("ns,sgh->ngh", weight, moments.second)
    trades = (weight @ moments.trades)[:, :, None] * np.eye(moments.trades.shape[1])
    out: Float = objective.g * risk + objective.impact * trades
    return out
