"""The risk layer: a deterministic projection of wanted exposure onto what the limits allow.

Written against the array API standard, so that numpy and torch run the same lines.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from mtquant.config.risk import LimitsSpec

TINY = 1e-300


@dataclass(frozen=True)
class Limits:
    """The rules for k slots; arrays belong to the namespace of the simulator."""

    enabled: bool
    literal: bool
    position_cap: float
    sector_cap: float
    max_correlation_exposure: float
    max_value_at_risk: float
    unit_value_at_risk: float
    """Value at risk a day of a portfolio whose x'Rx is 1."""
    correlation: Any
    """[k, k]"""
    membership: Any
    """[k, G] one-hot groups."""
    stop: str
    stop_loss: float
    cooldown_bars: int
    breaker_losses: tuple[float, float, float]
    breaker_scales: tuple[float, float, float]


def build_limits(
    spec: LimitsSpec,
    correlation: Any,
    group_of: tuple[int, ...],
    target_volatility: float,
    *,
    joint: bool,
    xp: Any = np,
) -> Limits:
    """Return the rules for slots with `correlation` [k, k]; `joint` picks the stop-loss of phase 3."""
    membership = np.zeros((len(group_of), max(group_of, default=0) + 1))
    membership[np.arange(len(group_of)), list(group_of)] = 1.0
    literal = spec.reading == "literal"
    return Limits(
        enabled=spec.enabled,
        literal=literal,
        position_cap=spec.max_position_size * (1.0 if literal else spec.position_base),
        sector_cap=spec.max_sector_allocation * (1.0 if literal else spec.sector_base),
        max_correlation_exposure=spec.max_correlation_exposure,
        max_value_at_risk=spec.max_portfolio_var,
        unit_value_at_risk=float(norm.ppf(spec.var_confidence)) * target_volatility / float(np.sqrt(260.0)),
        # a copy: torch must not share memory with a read-only array
        correlation=xp.asarray(np.array(correlation, dtype=np.float64)),
        membership=xp.asarray(membership),
        stop=spec.joint_stop_loss if joint else spec.stop_loss,
        stop_loss=spec.stop_loss_pct,
        cooldown_bars=spec.stop_cooldown_bars,
        breaker_losses=spec.breaker_losses,
        breaker_scales=spec.breaker_scales,
    )


def times(x: Any, matrix: Any) -> Any:
    """Return `[N, m]` the product of every row of `x` [N, k] with `matrix` [k, m].

    One small product per row: BLAS rounds a row differently in batches of different sizes, and a row's
    account must not depend on its neighbours.
    """
    return (x[:, None, :] @ matrix)[:, 0, :]


def quadratic(x: Any, matrix: Any, xp: Any) -> Any:
    """Return x'Mx per row: `[N, k]`, `[k, k]` to `[N]`."""
    if x.shape[1] == 1:
        return x[:, 0] * x[:, 0] * matrix[0, 0]
    return xp.sum(times(x, matrix) * x, axis=1)


def value_at_risk(x: Any, limits: Limits, xp: Any) -> Any:
    """Return the ex-ante value at risk a day of exposures `[N, k]` as shares of equity `[N]`."""
    # The root of zero has no derivative, and torch differentiates these lines.
    variance = xp.clip(quadratic(x, limits.correlation, xp), 0.0, None)
    held = variance > 0.0
    return limits.unit_value_at_risk * xp.where(held, xp.sqrt(xp.where(held, variance, 1.0)), xp.zeros_like(variance))


def correlation_exposure(x: Any, limits: Limits, xp: Any) -> Any:
    """Return `[N]` the |x_i x_j|-weighted mean of max(0, sign(x_i x_j) rho_ij) over pairs; 0 for one position."""
    size = xp.abs(x)
    eye = xp.eye(x.shape[1], dtype=x.dtype)
    off = limits.correlation * (1.0 - eye)
    # max(0, a) = (a + |a|)/2 turns the sum over pairs into two quadratic forms
    positive = 0.5 * (quadratic(x, off, xp) + quadratic(size, xp.abs(off), xp))
    pairs = quadratic(size, 1.0 - eye, xp)
    return xp.where(pairs > TINY, positive / xp.where(pairs > TINY, pairs, 1.0), xp.zeros_like(pairs))


def project(x: Any, factor: Any, limits: Limits, xp: Any) -> Any:
    """Return the nearest allowed exposures to `x` [N, k] in the order position, sector, correlation, VaR.

    `factor` [N, k] turns exposure into the base the position and sector caps count in (1 for risk
    units, notional per exposure for the literal reading). Each later rule only shrinks exposures, so
    the result obeys all of them.
    """
    cap = limits.position_cap / factor
    x = xp.clip(x, -cap, cap)
    if x.shape[1] > 1:
        held = times(xp.abs(x) * factor, limits.membership)
        scale = limits.sector_cap / xp.clip(held, limits.sector_cap, None)
        x = x * times(scale, limits.membership.T)
        x = _shrink_correlated(x, limits, xp)
    risk = value_at_risk(x, limits, xp)
    return x * (limits.max_value_at_risk / xp.clip(risk, limits.max_value_at_risk, None))[:, None]


def _shrink_correlated(x: Any, limits: Limits, xp: Any) -> Any:
    """Shrink the smaller leg of the worst pair until the correlation exposure is within its limit."""
    ceiling = limits.max_correlation_exposure
    for _ in range(x.shape[1]):
        exposure = correlation_exposure(x, limits, xp)
        over = exposure > ceiling * (1.0 + 1e-12)
        if not bool(xp.any(over)):
            return x
        x = xp.asarray(x, copy=True)
        x[over] = _shrink_leg(x[over], limits, xp)
    return x


def _shrink_leg(x: Any, limits: Limits, xp: Any) -> Any:
    rows, k = x.shape
    size = xp.abs(x)
    eye = xp.eye(k, dtype=x.dtype)
    product = x[:, :, None] * x[:, None, :]
    harm = xp.clip(product * limits.correlation, 0.0, None) * (1.0 - eye)
    weight = xp.abs(product) * (1.0 - eye)
    worst = xp.argmax(xp.reshape(harm, (rows, k * k)), axis=1)
    first, second = worst // k, worst % k
    slot = xp.arange(k)
    size_first = xp.sum(xp.where(slot[None, :] == first[:, None], size, 0.0), axis=1)
    size_second = xp.sum(xp.where(slot[None, :] == second[:, None], size, 0.0), axis=1)
    leg = slot[None, :] == xp.where(size_first < size_second, first, second)[:, None]
    with_leg = leg[:, :, None] | leg[:, None, :]
    own_harm = xp.sum(xp.where(with_leg, harm, 0.0), axis=(1, 2))
    own_weight = xp.sum(xp.where(with_leg, weight, 0.0), axis=(1, 2))
    rest_harm = xp.sum(harm, axis=(1, 2)) - own_harm
    rest_weight = xp.sum(weight, axis=(1, 2)) - own_weight
    ceiling = limits.max_correlation_exposure
    # exposure is (rest_harm + s own_harm)/(rest_weight + s own_weight) when the leg is scaled by s
    slack, slope = ceiling * rest_weight - rest_harm, own_harm - ceiling * own_weight
    usable = (slope > TINY) & (slack > 0.0)
    s = xp.where(usable, slack / xp.where(usable, slope, 1.0), 0.0)
    return xp.where(leg, x * xp.clip(s, 0.0, 1.0)[:, None], x)
