"""Optimal execution of one order (Almgren & Chriss, Journal of Risk 2000): exact cost, variance and optimum.

X shares are sold in N steps of tau = T / N. Selling n in a step moves the price for that step by eps sign n +
eta n / tau and for good by gamma n. The order may be split over venues whose temporary impacts eta_v add up only
within a venue, so that routed optimally they act like one venue with 1/eta = sum 1/eta_v.
"""

import numpy as np
from pydantic import Field

from mtquant.config.spec import Spec
from mtquant.types import Float


class ExecutionParams(Spec):
    """Every parameter of the order and its market."""

    shares: float = Field(default=1.0, gt=0)
    """X: size of the order."""
    horizon: float = Field(default=1.0, gt=0)
    """T: time in which it has to be done."""
    steps: int = Field(default=20, ge=2)
    """N: decisions; what is left at the last one is sold."""
    volatility: float = Field(default=0.02, gt=0)
    """sigma: standard deviation of the price over one unit of time."""
    venue_impact: tuple[float, ...] = Field(default=(0.01,), min_length=1)
    """eta_v: temporary impact of each venue, price per share per time."""
    permanent_impact: float = Field(default=0.005, ge=0)
    """gamma: lasting price move per share."""
    half_spread: float = Field(default=0.0, ge=0)
    """eps: cost per share whatever the size."""
    risk_aversion: float = Field(default=500.0, gt=0)
    """lambda: price of one unit of variance."""

    @property
    def tau(self) -> float:
        """Length of a step."""
        return self.horizon / self.steps

    @property
    def impact(self) -> float:
        """eta: temporary impact of an optimally routed trade."""
        return 1.0 / float(np.sum(1.0 / np.array(self.venue_impact)))

    @property
    def kappa(self) -> float:
        """Rate at which the optimal holding decays."""
        tilted = self.impact - 0.5 * self.permanent_impact * self.tau
        squared = self.risk_aversion * self.volatility**2 / tilted
        return float(np.arccosh(1.0 + 0.5 * squared * self.tau**2) / self.tau)


def routing(params: ExecutionParams) -> Float:
    """Return `[V]` the optimal shares of a trade by venue: inverse to impact, so that marginal costs are equal."""
    weight = 1.0 / np.array(params.venue_impact)
    shares: Float = weight / weight.sum()
    return shares


def optimal_holdings(params: ExecutionParams) -> Float:
    """Return `[N + 1]` x_j = X sinh(kappa (T - j tau)) / sinh(kappa T), from X down to 0."""
    left = np.linspace(params.horizon, 0.0, params.steps + 1)
    out: Float = params.shares * np.sinh(params.kappa * left) / np.sinh(params.kappa * params.horizon)
    return out


def even_holdings(params: ExecutionParams) -> Float:
    """Return `[N + 1]` the holdings of TWAP: the same number of shares in every step."""
    return np.linspace(params.shares, 0.0, params.steps + 1)


def immediate_holdings(params: ExecutionParams) -> Float:
    """Return `[N + 1]` the holdings of an order that is sold in the first step."""
    out = np.zeros(params.steps + 1)
    out[0] = params.shares
    return out


def cost_and_variance(params: ExecutionParams, holdings: Float) -> tuple[float, float]:
    """Return expected cost and its variance of any schedule `[N + 1]`, optimally routed, summed step by step."""
    sold, after = -np.diff(holdings), holdings[1:]
    cost = (
        params.half_spread * np.abs(sold)
        + params.impact / params.tau * sold**2
        + params.permanent_impact * sold * after
    )
    return float(cost.sum()), float(params.volatility**2 * params.tau * np.sum(after**2))


def objective(params: ExecutionParams, holdings: Float) -> float:
    """Return E + lambda V of a schedule `[N + 1]`; smaller is better."""
    cost, variance = cost_and_variance(params, holdings)
    return cost + params.risk_aversion * variance


def optimum(params: ExecutionParams) -> tuple[float, float]:
    """Return expected cost and variance of the optimum in closed form (Almgren & Chriss, 2000, eq. 20)."""
    kappa, tau, horizon = params.kappa, params.tau, params.horizon
    tilted = params.impact - 0.5 * params.permanent_impact * tau
    whole = np.sinh(kappa * horizon) ** 2
    squares = np.tanh(0.5 * kappa * tau) * (tau * np.sinh(2 * kappa * horizon) + 2 * horizon * np.sinh(kappa * tau))
    cost = 0.5 * params.permanent_impact * params.shares**2 + params.half_spread * params.shares
    cost += tilted * params.shares**2 * squares / (2 * tau**2 * whole)
    spread = tau * np.sinh(kappa * horizon) * np.cosh(kappa * (horizon - tau)) - horizon * np.sinh(kappa * tau)
    variance = 0.5 * params.volatility**2 * params.shares**2 * spread / (whole * np.sinh(kappa * tau))
    return float(cost), float(variance)
