"""Exact optima of linear-quadratic trading with quadratic costs (Garleanu & Pedersen, Journal of Finance 2013).

All values are per bar, in units of u0: U = x'alpha - (g/2) x'Rx - (l/2)|dx|^2, average reward unless a discount
rate `rho` is given.
"""

from dataclasses import dataclass

import numpy as np

from mtquant.types import Float


@dataclass(frozen=True)
class Adjustment:
    """How fast an optimal position moves and how much of a signal's future it counts."""

    a: float
    """Curvature of the value function."""
    kappa: float
    """Share of the way to the aim that is traded each bar."""
    zeta: float
    """Weight of the present in the aim; a signal k bars ahead counts (1 - zeta)^k."""


def adjustment(g: float, impact: float, rho: float = 0.0) -> Adjustment:
    """Return the optimal adjustment for risk aversion `g` times variance, quadratic cost `impact`.

    Without costs the aim is reached at once and nothing but the present counts.
    """
    if impact == 0.0:
        return Adjustment(0.0, 1.0, 1.0)
    keep = 1.0 - rho
    sum_ = g * keep + impact * rho
    a = (-sum_ + np.sqrt(sum_**2 + 4.0 * g * impact * keep**2)) / (2.0 * keep)
    return Adjustment(float(a), float(a / impact), float(g / (g + a)))


def factor_aim(loadings: Float, phi: Float, g: float, impact: float, rho: float = 0.0) -> Float:
    """Return `[S]` aim per unit of exogenous signals with edges `loadings [S]` and mean reversions `phi [S]`."""
    rate = adjustment(g, impact, rho)
    aim: Float = np.asarray(loadings) / g / (1.0 + rate.a / g * np.asarray(phi))
    return aim


@dataclass(frozen=True)
class PolicyValue:
    """What a policy earns per bar, in u0, on average over the stationary distribution."""

    gross: float
    risk: float
    """E[x'Rx]."""
    cost: float
    g: float

    @property
    def utility(self) -> float:
        """U = gross - (g/2) risk - cost."""
        return self.gross - 0.5 * self.g * self.risk - self.cost

    @property
    def sharpe(self) -> float:
        """Net Sharpe ratio per bar against the risk of the shocks; 0 for a flat policy."""
        return 0.0 if self.risk == 0 else float((self.gross - self.cost) / np.sqrt(self.risk))


def factor_value(
    loadings: Float, phi: Float, g: float, impact: float, aim: Float | None = None, kappa: float | None = None
) -> PolicyValue:
    """Return the value of x += kappa (aim'f - x) on one unit-variance asset with independent unit signals.

    Default aim and kappa are the optimum's. `kappa=1` with aim = loadings / g is the cost-blind Markowitz policy.
    """
    theta, edges = 1.0 - np.asarray(phi), np.asarray(loadings)
    rate = adjustment(g, impact).kappa if kappa is None else kappa
    target = factor_aim(edges, np.asarray(phi), g, impact) if aim is None else np.asarray(aim)
    eta, pull = 1.0 - rate, rate * target
    with_signal = pull / (1.0 - eta * theta)
    second = float(np.sum(pull**2 * (1.0 + eta * theta) / ((1.0 - eta**2) * (1.0 - eta * theta))))
    traded = 2.0 * ((1.0 - eta) * second - float(np.sum(pull * theta * with_signal)))
    return PolicyValue(float(edges @ with_signal), second, 0.5 * impact * traded, g)


def joint_gain(correlation: Float) -> float:
    """Return tr(R^-1)/D: joint over stand-alone optimum when signals are independent and costs are l R.

    Not what the simulator pays: it charges each trade by itself, l/2 |dx|^2, and has no account in which a trade in
    one instrument makes one in another dearer. Its gain is that of `joint_factor_value`, a little smaller: three
    instruments at rho = .5 with the law of `gp-joint` have 1.362 instead of 1.5, because offsetting legs save risk
    but not costs. Without costs the two agree.
    """
    return float(np.trace(np.linalg.inv(correlation)) / len(correlation))


@dataclass(frozen=True)
class Modes:
    """The eigenmodes of R; with costs l I each is a scalar problem of variance d_j."""

    vectors: Float
    """[K, K] columns are modes."""
    variances: Float
    """[K] eigenvalues d_j, ascending."""
    adjustments: tuple[Adjustment, ...]

    @property
    def kappas(self) -> Float:
        """[K] adjustment rate of each mode."""
        return np.array([a.kappa for a in self.adjustments])

    @property
    def rate(self) -> Float:
        """[K, K] M in x += M (aim - x)."""
        out: Float = (self.vectors * self.kappas) @ self.vectors.T
        return out


def modes(correlation: Float, g: float, impact: float) -> Modes:
    """Split the joint problem into scalar ones."""
    variances, vectors = np.linalg.eigh(correlation)
    return Modes(vectors, variances, tuple(adjustment(g * float(d), impact) for d in variances))


def joint_factor_value(correlation: Float, loadings: Float, phi: Float, g: float, impact: float) -> PolicyValue:
    """Return the joint optimum over assets with independent signals of one law, at the simulator's costs l I.

    Rotated signals are again independent with unit variance, so each mode j is a scalar problem of variance d_j.
    """
    # A position x in variance d is x sqrt(d) in unit variance: edge b / sqrt(d), impact l / d.
    parts = [
        factor_value(np.asarray(loadings) / np.sqrt(d), phi, g, impact / float(d))
        for d in modes(correlation, g, impact).variances
    ]
    return PolicyValue(sum(p.gross for p in parts), sum(p.risk for p in parts), sum(p.cost for p in parts), g)
