"""Exact expectations in the embedded market: a linear system whose coefficients follow the hidden regime.

Forecasts E_t[z_{t+k} 1{s_{t+k} = j}] are linear in q_t (x) z_t, and second moments of linear policies solve
coupled Lyapunov equations (Costa, Fragoso & Marques, Discrete-Time Markov Jump Linear Systems, 2005).
"""

from dataclasses import dataclass

import numpy as np

from mtquant.synthetic.catalogue import CATALOGUE, GROUPS, SYMBOLS, shock_correlation
from mtquant.synthetic.closed_form import PolicyValue, adjustment, modes
from mtquant.synthetic.embedded import EmbeddedParams
from mtquant.types import Float

STATES = len(GROUPS)
_TOLERANCE = 1e-15


def forecast_loadings(params: EmbeddedParams, discount: float) -> Float:
    """Return `[3 groups, 3 regimes, 2]` L with sum_k discount^k E_t alpha_{i,t+k} = sum_s q_t(s) L[G(i), s] z_{i,t}."""
    blocks = np.einsum("gs,k->gsk", params.multipliers.T, params.edges)
    out: Float = np.empty_like(blocks)
    for group, row in enumerate(blocks):
        step = _signal_steps(params, group)
        # Block (to j, from s) of the transition of q (x) z.
        matrix = np.einsum("sj,skl->jksl", params.transition, step).reshape(2 * STATES, 2 * STATES)
        solved = np.linalg.solve((np.eye(2 * STATES) - discount * matrix).T, row.reshape(-1))
        out[group] = solved.reshape(STATES, 2)
    return out


def _signal_steps(params: EmbeddedParams, group: int) -> Float:
    """Return `[3 regimes, 2, 2]` the matrices of E[z_{t+1} | z_t, s_t] for a group."""
    feedback = np.einsum("k,s,l->skl", params.gain, params.multipliers[:, group], params.edges)
    steps: Float = np.diag(params.theta) + feedback
    return steps


@dataclass(frozen=True)
class LinearPolicy:
    """x_t = x_{t-1} + rate (aim_t - x_{t-1}), aim_t = loadings[s_t] z_t, on instruments of the catalogue."""

    symbols: tuple[str, ...]
    loadings: Float
    """[3 regimes, K, K, 2] aim of each instrument per unit of every instrument's signals."""
    rate: Float
    """[K, K]."""


def stand_alone(params: EmbeddedParams, symbols: tuple[str, ...] = SYMBOLS, scale: Float | None = None) -> LinearPolicy:
    """Return every instrument's own optimum with the regime unknown (q = 1/3), times `scale [K]`."""
    rate = adjustment(params.objective.g, params.impact)
    per_group = rate.zeta / params.objective.g * forecast_loadings(params, 1.0 - rate.zeta).mean(axis=1)
    count = len(symbols)
    loadings = np.zeros((STATES, count, count, 2))
    for i, symbol in enumerate(symbols):
        loadings[:, i, i] = per_group[GROUPS.index(CATALOGUE[symbol].group)]
    if scale is not None:
        loadings = loadings * np.asarray(scale)[:, None, None]
    return LinearPolicy(symbols, loadings, rate.kappa * np.eye(count))


def joint(params: EmbeddedParams, symbols: tuple[str, ...] = SYMBOLS, regime_known: bool = True) -> LinearPolicy:
    """Return the optimum over all instruments: with the true regime (the upper bound) or with q = 1/3 for ever."""
    solved = modes(_correlation(params, symbols), params.objective.g, params.impact)
    group_of = [GROUPS.index(CATALOGUE[s].group) for s in symbols]
    loadings = np.zeros((STATES, len(symbols), len(symbols), 2))
    for j, rate in enumerate(solved.adjustments):
        forecast = forecast_loadings(params, 1.0 - rate.zeta)[group_of]
        if not regime_known:
            forecast = np.broadcast_to(forecast.mean(axis=1, keepdims=True), forecast.shape)
        vector = solved.vectors[:, j]
        weight = rate.zeta / (params.objective.g * solved.variances[j])
        loadings += weight * np.einsum("i,k,ksf->sikf", vector, vector, forecast)
    return LinearPolicy(symbols, loadings, solved.rate)


@dataclass(frozen=True)
class StationaryMoments:
    """Moments of a linear policy, each already weighted with the probability of its regime (sums give means)."""

    edge: Float
    """[3, K] E[x_i alpha_i 1{s}]."""
    second: Float
    """[3, K, K] E[x x' 1{s}]."""
    trades: Float
    """[3, K, K] E[dx dx' 1{s}]."""


def stationary_moments(params: EmbeddedParams, policy: LinearPolicy) -> StationaryMoments:
    """Solve the coupled Lyapunov equations for the state (z_t, x_{t-1}) given s_t."""
    count = len(policy.symbols)
    signals = 2 * count
    steps, noise = _closed_loop(params, policy)
    weights = _stationary(params, steps, noise)
    loadings = policy.loadings.reshape(STATES, count, signals)
    pull = np.einsum("ij,sjf->sif", policy.rate, loadings)
    keep = np.eye(count) - policy.rate
    now = np.concatenate([pull, np.broadcast_to(keep, (STATES, count, count))], axis=2)
    change = now - np.concatenate([np.zeros((count, signals)), np.eye(count)], axis=1)
    alpha = np.zeros((STATES, count, signals + count))
    for i, symbol in enumerate(policy.symbols):
        multiplier = params.multipliers[:, GROUPS.index(CATALOGUE[symbol].group)]
        alpha[:, i, 2 * i : 2 * i + 2] = multiplier[:, None] * params.edges
    return StationaryMoments(
        np.einsum("siv,svw,siw->si", now, weights, alpha),
        now @ weights @ now.transpose(0, 2, 1),
        change @ weights @ change.transpose(0, 2, 1),
    )


def policy_value(params: EmbeddedParams, policy: LinearPolicy) -> PolicyValue:
    """Return the exact value of a linear policy, regimes on."""
    moments = stationary_moments(params, policy)
    risk = float(np.sum(moments.second.sum(axis=0) * _correlation(params, policy.symbols)))
    cost = 0.5 * params.impact * float(np.trace(moments.trades.sum(axis=0)))
    return PolicyValue(float(moments.edge.sum()), risk, cost, params.objective.g)


def _correlation(params: EmbeddedParams, symbols: tuple[str, ...]) -> Float:
    columns = [SYMBOLS.index(s) for s in symbols]
    return shock_correlation(params.correlation_scale)[np.ix_(columns, columns)]


def _closed_loop(params: EmbeddedParams, policy: LinearPolicy) -> tuple[Float, Float]:
    """Return the transition `[3, n, n]` and the noise covariance `[n, n]` of (z, x_prev), n = 3 K."""
    count = len(policy.symbols)
    signals = 2 * count
    steps = np.zeros((STATES, 3 * count, 3 * count))
    for i, symbol in enumerate(policy.symbols):
        block = slice(2 * i, 2 * i + 2)
        steps[:, block, block] = _signal_steps(params, GROUPS.index(CATALOGUE[symbol].group))
    steps[:, signals:, :signals] = np.einsum(
        "ij,sjf->sif", policy.rate, policy.loadings.reshape(STATES, count, signals)
    )
    steps[:, signals:, signals:] = np.eye(count) - policy.rate
    noise = np.zeros((3 * count, 3 * count))
    outer = np.outer(params.gain, params.gain)
    noise[:signals, :signals] = np.kron(_correlation(params, policy.symbols), outer)
    return steps, noise


def _stationary(params: EmbeddedParams, steps: Float, noise: Float) -> Float:
    """Return `[3, n, n]` E[v v' 1{s}], the fixed point of M_j = sum_s P_sj (T_s M_s T_s' + pi_s N)."""
    weights = np.zeros_like(steps)
    source = np.einsum("sj,s->j", params.transition, np.full(STATES, 1.0 / STATES))[:, None, None] * noise
    while True:
        moved = steps @ weights @ steps.transpose(0, 2, 1)
        new: Float = np.einsum("sj,svw->jvw", params.transition, moved) + source
        if np.abs(new - weights).max() <= _TOLERANCE * np.abs(new).max():
            return new
        weights = new
