"""What one bar pays. All rewards are in units of u0, the risk of exposure 1 over one bar.

A flat account earns exactly 0 under every entry.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from mtquant.config.agents import RewardSpec
from mtquant.registry import build
from mtquant.sim.kernel import StepResult
from mtquant.types import Float


class BarOutcome(NamedTuple):
    """One bar as rewards see it; every entry `[N]`, except `exposure` [N, k]."""

    gross: Float
    """Profit before costs, u0 of equity."""
    cost: Float
    """Costs, u0 of equity."""
    risk: Float
    """x'Rx of the exposure held."""
    exposure: Float
    log_return: Float
    """ln(equity after / equity before) in u0."""


class RewardFn(Protocol):
    """A reward with `memory` numbers of its own per row, zero at the start of an episode."""

    @property
    def memory(self) -> int:
        """Numbers kept per row."""

    def __call__(self, outcome: BarOutcome, memory: Float, /) -> tuple[Float, Float]: ...


def outcome_of(result: StepResult, risk: Float, unit_risk: float) -> BarOutcome:
    """Return what `result` means for rewards; a ruined account pays its last bar and then nothing."""
    unit = result.equity_before * unit_risk
    # an account that owes money has no return any more
    solvent = result.equity_before > 0.0
    before = np.where(solvent, result.equity_before, 1.0)
    ratio = np.where(solvent, np.maximum(result.equity, 1e-12 * before) / before, 1.0)
    return BarOutcome(
        result.gross.sum(axis=1) / unit,
        result.cost.sum(axis=1) / unit,
        risk,
        result.exposure,
        np.log(ratio) / unit_risk,
    )


@dataclass(frozen=True)
class MeanVariance:
    """Gross - w_c cost - w_r g/2 x'Rx + w_d spread - w_n g/2 min(net, 0)^2, with g = risk_aversion u0.

    `spread` is g/2 (sum |x|^2 - x'Rx)+: what holding offsetting legs saves. Garleanu and Pedersen (2013).
    """

    aversion: float
    risk_weight: float = 1.0
    cost_weight: float = 1.0
    diversification_weight: float = 0.0
    downside_weight: float = 0.0
    memory: int = 0

    def __call__(self, outcome: BarOutcome, memory: Float, /) -> tuple[Float, Float]:
        half = 0.5 * self.aversion
        reward = outcome.gross - self.cost_weight * outcome.cost - self.risk_weight * half * outcome.risk
        if self.diversification_weight:
            alone = (outcome.exposure * outcome.exposure).sum(axis=1)
            reward = reward + self.diversification_weight * half * np.maximum(alone - outcome.risk, 0.0)
        if self.downside_weight:
            loss = np.minimum(outcome.gross - outcome.cost, 0.0)
            reward = reward - self.downside_weight * half * loss * loss
        return reward, memory


@dataclass(frozen=True)
class LogReturn:
    """Log return of equity, with extra weight on costs and a penalty on risk."""

    aversion: float
    risk_weight: float = 0.0
    cost_weight: float = 1.0
    memory: int = 0

    def __call__(self, outcome: BarOutcome, memory: Float, /) -> tuple[Float, Float]:
        extra = (self.cost_weight - 1.0) * outcome.cost + self.risk_weight * 0.5 * self.aversion * outcome.risk
        return outcome.log_return - extra, memory


@dataclass(frozen=True)
class DifferentialSharpe:
    """Differential Sharpe ratio (Moody and Saffell, 2001) of returns in u0, with rate `eta`.

    (B dA - A dB / 2) / (B - A^2)^1.5 with dA = r - A, dB = r^2 - B. The moments start at A = 0, B = 1
    (the risk of exposure 1), so that the first bars are finite; the memory holds A and B - 1.
    """

    eta: float = 0.01
    memory: int = 2

    def __call__(self, outcome: BarOutcome, memory: Float, /) -> tuple[Float, Float]:
        net = outcome.gross - outcome.cost
        first, second = memory[:, 0], memory[:, 1] + 1.0
        delta_first, delta_second = net - first, net * net - second
        variance = np.maximum(second - first * first, 1e-4)
        reward = (second * delta_first - 0.5 * first * delta_second) / variance**1.5
        moments = np.stack([first + self.eta * delta_first, second + self.eta * delta_second - 1.0], axis=1)
        idle = (outcome.exposure == 0.0).all(axis=1) & (net == 0.0)
        return np.where(idle, 0.0, reward), np.where(idle[:, None], memory, moments)


def _mean_variance(spec: RewardSpec, unit_risk: float) -> RewardFn:
    return MeanVariance(
        spec.risk_aversion * unit_risk,
        spec.risk_penalty_weight,
        spec.transaction_cost_weight,
        spec.diversification_bonus_weight,
        spec.downside_volatility_weight,
    )


def _log_return(spec: RewardSpec, unit_risk: float) -> RewardFn:
    return LogReturn(spec.risk_aversion * unit_risk, spec.risk_penalty_weight, spec.transaction_cost_weight)


def _differential_sharpe(spec: RewardSpec, unit_risk: float) -> RewardFn:  # noqa: ARG001 - all are built alike
    return DifferentialSharpe(spec.eta)


def build_reward(spec: RewardSpec, unit_risk: float) -> RewardFn:
    """Return the reward that `spec` names; `unit_risk` is u0. Raises `ConfigError` for an unknown name."""
    return build(REWARDS, {"name": spec.name, "spec": spec, "unit_risk": unit_risk}, "reward")


REWARDS = {"mean_variance": _mean_variance, "log_return": _log_return, "differential_sharpe": _differential_sharpe}
