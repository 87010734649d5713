"""Every known optimum beside what its policy earns when it is played: the theory, checked by the simulator."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mtquant.context import Streams
from mtquant.evaluation.oracles.execution import execute, schedule
from mtquant.evaluation.oracles.hidden_regime import constant_value, filter_value
from mtquant.evaluation.oracles.noise_free import mean_utility, score_result
from mtquant.evaluation.oracles.policies import WARMUP, allocation, build_oracle, joint, phase1, phase2
from mtquant.evaluation.oracles.simulated import simulate
from mtquant.evaluation.oracles.sizing import kelly_policy, level_policy, play_levels, simulated_growth
from mtquant.evaluation.statistics import Interval, mean_of
from mtquant.synthetic.almgren_chriss import ExecutionParams, optimum
from mtquant.synthetic.closed_form import factor_value, joint_factor_value
from mtquant.synthetic.embedded import EmbeddedParams
from mtquant.synthetic.factors import FactorParams, SpreadParams
from mtquant.synthetic.hidden_regime import DESKS, RegimeParams
from mtquant.synthetic.jump_linear import joint as full_information
from mtquant.synthetic.jump_linear import policy_value
from mtquant.synthetic.no_trade_band import solve_band
from mtquant.synthetic.planted import Planted
from mtquant.synthetic.registry import build_planted, evaluation_paths
from mtquant.synthetic.sizing import SizingParams, bar_growth, solve_sizing

ONE_HISTORY = {"train_histories": 1, "validation_histories": 1, "test_histories": 1}


@dataclass(frozen=True)
class Size:
    """How much is played."""

    paths: int = 64
    bars: int = 1150
    seed: int = 0

    @property
    def streams(self) -> Streams:
        """Streams of the fresh histories."""
        return Streams(self.seed)


@dataclass(frozen=True)
class KnownOptimum:
    """A value that theory gives and what its policy earned."""

    name: str
    quantity: str
    source: str
    """`closed form`, `dynamic programming` or `quadrature`."""
    value: float
    played: Interval


def _fresh(market: str, size: Size, symbols: tuple[str, ...] | None, **params: object) -> Planted:
    planted = build_planted(market, {**ONE_HISTORY, **params}, size.streams, symbols)
    return evaluation_paths(planted, size.streams, size.paths, size.bars)


def _played(planted: Planted, market: str, policy: object, *, limits: bool = True) -> Interval:
    assert callable(policy)
    return mean_utility(score_result(simulate(policy, planted, market, WARMUP, limits=limits), planted.truth))


def _one_desk(market: str, size: Size) -> KnownOptimum:
    planted = _fresh(market, size, DESKS[:1])
    params = planted.truth.params
    assert isinstance(params, FactorParams)
    value = factor_value(params.loadings, params.phi, planted.objective.g, params.impact).utility
    words = "utility of one instrument, quadratic costs"
    return KnownOptimum(market, words, "closed form", value, _played(planted, market, phase1(planted)))


def _joint_desks(market: str, size: Size) -> KnownOptimum:
    planted = _fresh(market, size, DESKS)
    params = planted.truth.params
    assert isinstance(params, FactorParams)
    law = (params.loadings, params.phi, planted.objective.g, params.impact)
    value = joint_factor_value(planted.truth.correlation, *law).utility
    words = "joint utility of three instruments, costs l I"
    return KnownOptimum(market, words, "closed form", value, _played(planted, market, joint(planted)))


def _band(market: str, size: Size) -> KnownOptimum:
    planted = _fresh(market, size, DESKS[:1])
    assert isinstance(planted.truth.params, SpreadParams)
    value = solve_band(planted.truth.params).utility
    words = "utility of one instrument, proportional costs"
    return KnownOptimum(market, words, "dynamic programming", value, _played(planted, market, phase1(planted)))


def _filter(decision_bars: int, size: Size) -> KnownOptimum:
    planted = _fresh("hidden-regime", size, DESKS)
    assert isinstance(planted.truth.params, RegimeParams)
    value = filter_value(planted.truth.params, DESKS, decision_bars)
    policy = phase2(planted, None, WARMUP, decision_bars)
    words = f"utility of the filter that decides every {decision_bars} bars"
    return KnownOptimum("hidden-regime", words, "quadrature", value, _played(planted, "hidden-regime", policy))


def _constant(size: Size) -> KnownOptimum:
    planted = _fresh("hidden-regime", size, DESKS)
    assert isinstance(planted.truth.params, RegimeParams)
    value = constant_value(planted.truth.params, DESKS)
    policy = allocation(planted, common=False)
    words = "utility of the best constant allocation"
    return KnownOptimum("hidden-regime", words, "closed form", value, _played(planted, "hidden-regime", policy))


def _bound(size: Size) -> KnownOptimum:
    planted = _fresh("embedded", size, None)
    assert isinstance(planted.truth.params, EmbeddedParams)
    value = policy_value(planted.truth.params, full_information(planted.truth.params)).utility
    played = _played(planted, "embedded", build_oracle("full-information", planted), limits=False)
    words = "joint utility with the regime told: no policy can pass it"
    return KnownOptimum("embedded", words, "closed form", value, played)


def _order(venues: tuple[float, ...], risk_aversion: float, size: Size) -> KnownOptimum:
    params = ExecutionParams(venue_impact=venues, risk_aversion=risk_aversion)
    cost, variance = optimum(params)
    done = execute(schedule("optimum", params), params, 64 * size.paths, size.streams.rng("oracle", "execution"))
    # Cost as it was realised, price noise included; the variance of the holdings is exact.
    held = params.risk_aversion * params.volatility**2 * done.exposure
    played = mean_of(-(done.cost + done.noise + held))
    name = "execution" if len(venues) == 1 else f"execution, {len(venues)} venues"
    words = f"-(E + lambda V) of one order, lambda = {risk_aversion:g}"
    return KnownOptimum(name, words, "closed form", -(cost + risk_aversion * variance), played)


def _growth(fraction: float, size: Size) -> KnownOptimum:
    mean = (0.05, 0.05, 0.05)
    planted = _fresh("hidden-regime", size, DESKS[:1], first_means=mean, second_means=mean)
    policy = kelly_policy(planted, fraction)
    unit = planted.objective.unit_risk
    value = bar_growth(float(policy.aims[0, 0]), mean[0] * unit, unit)
    words = f"log growth per bar at {fraction:g} of Kelly"
    return KnownOptimum("kelly", words, "quadrature", value, simulated_growth(policy, planted, "hidden-regime"))


def _levels(size: Size) -> KnownOptimum:
    params = SizingParams()
    best = solve_sizing(params)
    rng = size.streams.rng("oracle", "levels")
    played = mean_of(play_levels(level_policy(best), params, 4 * size.paths, 4 * size.bars, rng))
    words = "worth per bar of the five-level risk agent"
    return KnownOptimum("risk levels", words, "dynamic programming", best.value, played)


KNOWN: tuple[Callable[[Size], KnownOptimum], ...] = (
    partial(_one_desk, "gp-easy"),
    partial(_one_desk, "gp-base"),
    partial(_one_desk, "gp-divided"),
    partial(_joint_desks, "gp-joint"),
    partial(_band, "spread"),
    partial(_band, "spread-narrow"),
    partial(_band, "spread-slow"),
    _constant,
    partial(_filter, 1),
    partial(_filter, 5),
    partial(_order, (0.01,), 50.0),
    partial(_order, (0.01,), 500.0),
    partial(_order, (0.015, 0.03), 500.0),
    partial(_growth, 0.25),
    partial(_growth, 1.0),
    _levels,
    _bound,
)
"""Constructors of all known optima, in the order they are listed."""


def known_optima(size: Size) -> list[KnownOptimum]:
    """Return every known optimum with what its policy earned on fresh histories of `size`."""
    return [build(size) for build in KNOWN]


def standard_errors(known: KnownOptimum) -> float:
    """Return how many standard errors lie between theory and what was played."""
    spread = (known.played.high - known.played.low) / (2.0 * 1.959964)
    return float(np.abs(known.played.value - known.value) / spread) if spread > 0 else float("nan")
