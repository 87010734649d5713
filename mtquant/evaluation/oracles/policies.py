"""Reference policies of planted markets, each an `ActFn` of the portfolio game.

Observation `[N, 1 + K]`: bar index t and present exposures; action `[N, K]`: exposures of the next bar, risk units.
A policy belongs to the bars of the market it was built on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtquant.config.spec import Spec
from mtquant.errors import ConfigError
from mtquant.evaluation.oracles.band import BandPolicy, band_policy
from mtquant.evaluation.oracles.books import Moments, book_moments, follow
from mtquant.evaluation.oracles.budgets import allocation_optimum, best_budgets, constant_budgets, decided_budgets
from mtquant.evaluation.oracles.forecasts import Information, beliefs, forecast
from mtquant.registry import build
from mtquant.synthetic.catalogue import CATALOGUE, GROUPS
from mtquant.synthetic.closed_form import adjustment, modes
from mtquant.synthetic.factors import SpreadParams
from mtquant.synthetic.hidden_regime import RegimeParams
from mtquant.synthetic.observed import by_history
from mtquant.synthetic.planted import Planted
from mtquant.types import Array, Float

WARMUP = 150


@dataclass(frozen=True)
class PartialAdjustment:
    """x += rate (aim_t - x): every optimum of a linear-quadratic market has this form."""

    aims: Float
    """[T, K], causal."""
    rate: Float
    """[K, K]; the identity goes to the aim at once."""

    def __call__(self, observation: Array, /) -> Float:
        """Return `[N, K]` exposures of the next bar."""
        bar = observation[:, 0].astype(np.int64)
        exposure = observation[:, 1:].astype(np.float64)
        # einsum, not a matrix product: a row must not depend on how many others there are.
        out: Float = exposure + np.einsum("ij,nj->ni", self.rate, self.aims[bar] - exposure)
        return out

    def alone(self, column: int) -> "PartialAdjustment":
        """Return the policy of one instrument; its rate must not mix instruments."""
        return PartialAdjustment(self.aims[:, [column]], self.rate[np.ix_([column], [column])])


Reference = PartialAdjustment | BandPolicy


def phase1(planted: Planted, scale: float | Float = 1.0) -> Reference:
    """Every instrument's stand-alone optimum, the regime unknown, times `scale` (one number or `[K]`)."""
    params, objective = planted.truth.params, planted.objective
    if isinstance(params, SpreadParams):
        return band_policy(planted, params, scale)
    if isinstance(params, RegimeParams):
        # Its desks hold one unit each; what there is to win is the allocation.
        held = np.ones((len(planted.market.time), len(planted.truth.symbols)))
        return PartialAdjustment(held * scale, np.eye(held.shape[1]))
    rate = adjustment(objective.g, objective.impact)
    aims = rate.zeta / objective.g * forecast(planted, "none")(1.0 - rate.zeta)
    return PartialAdjustment(aims * scale, rate.kappa * np.eye(aims.shape[1]))


def joint(planted: Planted, information: Information = "filter") -> Reference:
    """The optimum over all instruments; `truth` is the bound that no policy can pass.

    With proportional costs shocks are independent, so it is every instrument's own. Under caps without costs it
    is the best allowed exposure of each bar.
    """
    if isinstance(planted.truth.params, SpreadParams):
        return phase1(planted)
    if isinstance(planted.truth.params, RegimeParams):
        return _capped(planted, forecast(planted, information)(0.0))
    return _by_modes(planted, planted.truth.correlation, information)


def joint_groups(planted: Planted, fitted_on: Planted | None = None, warmup: int = WARMUP) -> PartialAdjustment:
    """Joint within each group and blind to the other groups, at the best common scale."""
    group_of = np.array(planted.truth.group_of)
    blocks = planted.truth.correlation * (group_of[:, None] == group_of)
    fit_on = fitted_on or planted
    moments = fit_moments(fit_on, follow(_by_modes(fit_on, blocks, "filter"), fit_on.market, warmup), warmup)
    policy = _by_modes(planted, blocks, "filter")
    return replace(policy, aims=policy.aims * constant_budgets(moments, planted.objective, common=True)[0])


def markowitz(planted: Planted) -> PartialAdjustment:
    """The joint optimum of a trader who ignores costs; a market it does not ruin tests nothing about costs."""
    expected = forecast(planted, "filter")(0.0)
    aims = np.asarray(expected @ np.linalg.inv(planted.truth.correlation) / planted.objective.g, dtype=np.float64)
    return PartialAdjustment(aims, np.eye(aims.shape[1]))


def allocation(
    planted: Planted, fitted_on: Planted | None = None, warmup: int = WARMUP, common: bool = True
) -> Reference:
    """Phase-1 optima at the best constant budgets: one for all groups (`common`) or one per group."""
    fit_on = fitted_on or planted
    moments = fit_moments(fit_on, follow(phase1(fit_on), fit_on.market, warmup), warmup)
    budgets = constant_budgets(moments, planted.objective, common)
    return phase1(planted, budgets[list(planted.truth.group_of)])


def phase2(
    planted: Planted,
    fitted_on: Planted | None = None,
    warmup: int = WARMUP,
    decision_bars: int = 5,
    smoothing: float | None = None,
    information: Information = "filter",
) -> PartialAdjustment:
    """Oracle specialists under the phase-2 reference; see `phase2_reference`. Without costs nothing is smoothed."""
    fit_on = fitted_on or planted
    if smoothing is None:
        smoothing = 0.5 if planted.objective.impact or planted.objective.spread else 1.0
    moments = fit_moments(fit_on, follow(phase1(fit_on), fit_on.market, warmup), warmup)
    books = follow(phase1(planted), planted.market, warmup)
    return phase2_reference(planted, books, moments, warmup, decision_bars, smoothing, information)


def phase2_reference(
    planted: Planted,
    books: Float,
    moments: Moments,
    warmup: int = WARMUP,
    decision_bars: int = 5,
    smoothing: float = 0.5,
    information: Information = "filter",
) -> PartialAdjustment:
    """The best known allocation to frozen specialists: a state-dependent mean-variance-cost optimum.

    books [T, K]: stand-alone exposures of the specialists (learned or oracle) on `planted`, for decision bar t;
    moments: of the same specialists, by regime, usually on the train split (`fit_moments`). It ignores present
    signals, so a policy can beat it; it is a reference, not a bound.
    """
    belief = beliefs(planted, information)
    wanted = best_budgets(moments, planted.objective, belief, _transition(planted), decision_bars)
    budgets = decided_budgets(planted.market, wanted, warmup, decision_bars, smoothing)
    return PartialAdjustment(budgets[:, list(planted.truth.group_of)] * books, np.eye(books.shape[1]))


def constant_reference(planted: Planted, books: Float, moments: Moments, common: bool = True) -> PartialAdjustment:
    """Frozen specialists at their best constant budgets; arguments as in `phase2_reference`."""
    budgets = constant_budgets(moments, planted.objective, common)
    return PartialAdjustment(budgets[list(planted.truth.group_of)] * books, np.eye(books.shape[1]))


def fit_moments(planted: Planted, books: Float, warmup: int = WARMUP, split: str | None = None) -> Moments:
    """Estimate the moments of specialists' books `[T, K]` by true regime.

    Uses `split`, or by default train and validation together; evaluation paths, which have neither, use all bars.
    """
    bars = len(planted.market.time)
    chosen = [planted.splits[name].mask(bars) for name in ((split,) if split else ("train", "validation"))]
    inside = np.logical_or.reduce(chosen)
    if split is None and not inside.any():
        inside = np.ones(bars, dtype=bool)
    return book_moments(planted.truth, planted.market, books, inside, warmup)


def peeking(planted: Planted) -> PartialAdjustment:
    """The joint optimum of a trader who sees the next bar's return: what a leak of one bar is worth.

    Only realised profit shows it. Aims merely shifted by a bar would not do: the fast signal reverses, so the
    return that leaks in pushes the aim against itself and the policy loses.
    """
    truth = planted.truth
    close = by_history(planted.market, planted.market.close)
    surprise = np.zeros_like(close)
    surprise[:, :-1] = (close[:, 1:] / close[:, :-1] - 1.0) / truth.volatility
    surprise[:, :-1] -= by_history(planted.market, truth.alpha)[:, :-1]
    solved = modes(truth.correlation, truth.objective.g, truth.objective.impact)
    weight = np.array([rate.zeta for rate in solved.adjustments]) / (truth.objective.g * solved.variances)
    policy = _by_modes(planted, truth.correlation, "filter")
    seen = surprise.reshape(policy.aims.shape) @ ((solved.vectors * weight) @ solved.vectors.T)
    return replace(policy, aims=policy.aims + seen)


def memoryless(planted: Planted) -> PartialAdjustment:
    """The best allocation by the last report alone: what an agent without memory cannot pass (hidden regimes)."""
    params = planted.truth.params
    if not isinstance(params, RegimeParams):
        raise ConfigError("`memoryless` belongs to the market `hidden-regime`, whose macro column is one noisy report.")
    belief = params.likelihood[(planted.market.macro[:, 0] > 0).astype(np.int64)]
    return _capped(planted, belief @ params.means[:, _groups(planted)])


def delayed(policy: PartialAdjustment, planted: Planted, bars: int) -> PartialAdjustment:
    """Return the policy with aims `bars` late, which must cost; a history begins by repeating its first aim."""
    aims = by_history(planted.market, policy.aims)
    index = np.maximum(np.arange(aims.shape[1]) - bars, 0)
    return replace(policy, aims=aims[:, index].reshape(policy.aims.shape))


def _by_modes(planted: Planted, correlation: Float, information: Information) -> PartialAdjustment:
    objective = planted.objective
    expected = forecast(planted, information)
    solved = modes(correlation, objective.g, objective.impact)
    aims = np.zeros((len(planted.market.time), len(correlation)))
    for j, rate in enumerate(solved.adjustments):
        vector = solved.vectors[:, j]
        along = expected(1.0 - rate.zeta) @ vector * (rate.zeta / (objective.g * solved.variances[j]))
        aims += along[:, None] * vector
    return PartialAdjustment(aims, solved.rate)


def _capped(planted: Planted, expected: Float) -> PartialAdjustment:
    """Return the best allowed exposures for expected returns `[T, K]` where trading is free."""
    objective = planted.objective
    risk = objective.g * planted.truth.correlation[None]
    aims = allocation_optimum(expected, risk, objective.position_cap, objective.gross_cap)
    return PartialAdjustment(aims, np.eye(aims.shape[1]))


def _groups(planted: Planted) -> list[int]:
    """Return `[K]` the index of every instrument's group among all groups."""
    return [GROUPS.index(CATALOGUE[s].group) for s in planted.truth.symbols]


def _transition(planted: Planted) -> Float:
    states = planted.truth.posterior.shape[1]
    found: Float = getattr(planted.truth.params, "transition", np.eye(states))
    return found


def build_oracle(
    name: str, planted: Planted, fitted_on: Planted | None = None, warmup: int = WARMUP, **params: Any
) -> Reference:
    """Build reference policy `name` for the bars of `planted`; scales and moments are fitted on `fitted_on`.

    Raises `ConfigError` for an unknown name or parameters it refuses.
    """
    arguments: dict[str, Any] = {"planted": planted, **params}
    if name in _FITTED:
        arguments |= {"fitted_on": fitted_on, "warmup": warmup}
    return build(ORACLES, {"name": name, **arguments}, "reference policy")


def _equal(planted: Planted, fitted_on: Planted | None = None, warmup: int = WARMUP) -> Reference:
    return allocation(planted, fitted_on, warmup, common=True)


def _static(planted: Planted, fitted_on: Planted | None = None, warmup: int = WARMUP) -> Reference:
    return allocation(planted, fitted_on, warmup, common=False)


def _joint_blind(planted: Planted) -> Reference:
    return joint(planted, "none")


def _full_information(planted: Planted) -> Reference:
    return joint(planted, "truth")


OFFERED: dict[type[Spec], tuple[str, ...]] = {
    SpreadParams: ("phase1", "markowitz"),
    RegimeParams: ("equal", "static", "memoryless", "phase2", "joint", "joint-blind", "full-information"),
}
"""References that mean something on a law; all but `memoryless` where a law is not listed."""


def offered(planted: Planted) -> tuple[str, ...]:
    """Return the names of the references that belong to the law of `planted`."""
    every = tuple(name for name in ORACLES if name != "memoryless")
    return OFFERED.get(type(planted.truth.params), every)


_FITTED = {"equal", "static", "phase2", "joint-groups"}

ORACLES: dict[str, Callable[..., Reference]] = {
    "phase1": phase1,
    "equal": _equal,
    "static": _static,
    "phase2": phase2,
    "joint": joint,
    "joint-groups": joint_groups,
    "joint-blind": _joint_blind,
    "full-information": _full_information,
    "markowitz": markowitz,
    "memoryless": memoryless,
    "peeking": peeking,
}
