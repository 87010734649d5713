"""The gates: what is trained on which planted market, what is measured, and what has to come out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from mtquant.evaluation.statistics import Interval
from mtquant.gates.allocation import AllocationCapture, AllocationSharpe
from mtquant.gates.execution import ExcessOverTwap, ExecutionTraining
from mtquant.gates.limits import ForecastCoverage, LimitCompliance
from mtquant.gates.measures import LossShare, RealisedSharpe, ReportedShare, SpecialistShare
from mtquant.gates.teams import NormalisedScore, TeamTraining
from mtquant.gates.trainings import Training

Measure = Callable[[Any], Interval]
"""From what the gate's training left (`FinishedRun`, ...) to a figure with its interval."""


AnyTraining = Training | ExecutionTraining | TeamTraining


class Rule(StrEnum):
    """How the figures of all seeds are held against the threshold."""

    MEDIAN = "median of the seeds at least the threshold"
    LOW_ENDS = "lower end of every seed's interval above the threshold"
    NOT_ABOVE = "no seed above the threshold by two standard errors"


RULES: dict[Rule, Callable[[Sequence[Interval], float], bool]] = {
    Rule.MEDIAN: lambda found, threshold: float(np.median([one.value for one in found])) >= threshold,
    # A comparison with NaN is False: a figure without an interval does not pass.
    Rule.LOW_ENDS: lambda found, threshold: all(one.low > threshold for one in found),
    Rule.NOT_ABOVE: lambda found, threshold: all(one.low <= threshold for one in found),
}


@dataclass(frozen=True)
class Gate:
    """One claim that a training run can disprove."""

    name: str
    claim: str
    training: AnyTraining
    measure: Measure
    rule: Rule
    threshold: float
    seeds: tuple[int, ...] = (0, 1, 2)


SHOWN_SIGNALS = (
    # One instrument, because all have the same law; the signals alone, because prices contain nothing more.
    "environment.instruments=[EURUSD]",
    "features.return_half_lives=[]",
    "features.return_lags=0",
    "features.indicators=[]",
)
"""What agents see on factor markets; how they learn there is the default."""

HIDDEN_REGIME = (
    "data.source=hidden-regime",
    # One instrument per group: three desks.
    "environment.instruments=[EURUSD, XAUUSD, SPX500]",
    # The report on the regime is remembered as one exponential mean. This half-life loses 1 % of the filter's gain;
    # the default of 10 bars loses 22 %, no memory at all 32 %.
    "features.macro_half_life=3.0",
    "phase2.ppo.learning_rate=0.0003",
    "phase2.decision_bars=5",
)
"""The hidden-regime market and how the meta-controller learns on it."""

GROUPS = ("forex", "commodities", "equity")
ONE_GROUP = ("environment.instruments=[EURUSD, GBPUSD, USDJPY]",)
EMBEDDED = Training()
EMBEDDED_NULL = Training(("data.source=embedded-null",), phase=1)


def full_gates() -> tuple[Gate, ...]:
    """Return the gates at full budgets and three seeds."""
    return (
        _factor_optimum(500_000, 0.90, (0, 1, 2)),
        *no_signal_gates(500_000, (0, 1, 2)),
        *(gate for group in GROUPS for gate in _embedded_null(group, EMBEDDED_NULL, (0, 1, 2))),
        *_known_optima((0, 1, 2)),
        *(_embedded_specialist(group, EMBEDDED, 0.85, (0, 1, 2)) for group in GROUPS),
        *_embedded_portfolio(),
        *_limits(EMBEDDED, (0, 1, 2)),
        _team(2_000_000, 0.50, (0, 1, 2)),
    )


def small_gates() -> tuple[Gate, ...]:
    """Return gates of the same kind that take about a minute: one seed, a fifth of the steps, lower thresholds."""
    short = ("phase1.timesteps=100_000",)
    null = Training(("data.source=embedded-null", *ONE_GROUP, *short), phase=1)
    return (
        _factor_optimum(100_000, 0.50, (0,)),
        *no_signal_gates(100_000, (0,)),
        _embedded_null("forex", null, (0,))[0],
        *_known_optima((0,)),
        _embedded_specialist("forex", Training((*ONE_GROUP, *short), phase=1), 0.40, (0,)),
        *_limits(Training(("phase1.timesteps=250_000",), phase=1), (0,)),
        _team(200_000, 0.25, (0,)),
    )


def _factor(market: str, timesteps: int) -> Training:
    return Training((f"data.source={market}", f"phase1.timesteps={timesteps}", *SHOWN_SIGNALS), phase=1)


def _factor_optimum(timesteps: int, threshold: float, seeds: tuple[int, ...]) -> Gate:
    return Gate(
        "p1-gp-easy",
        f"{timesteps:,} steps earn this share of the closed-form optimum (Garleanu and Pedersen, 2013)",
        _factor("gp-easy", timesteps),
        SpecialistShare("forex"),
        Rule.MEDIAN,
        threshold,
        seeds,
    )


def _known_optima(seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    """Return the gates whose budgets are the same in both sets; only the seeds differ."""
    allocation = Training(HIDDEN_REGIME, phase=2)
    return (
        Gate(
            "p1b-spread",
            "proportional costs: share of the no-trade band's utility (dynamic programming)",
            _factor("spread", 1_000_000),
            SpecialistShare("forex"),
            Rule.MEDIAN,
            0.88,
            seeds,
        ),
        Gate(
            "p2-regime-capture",
            "hidden regime: gain over the best constant allocation, as a share of the exact filter's",
            allocation,
            AllocationCapture(),
            Rule.MEDIAN,
            0.80,
            seeds,
        ),
        Gate(
            "p2-regime-sharpe",
            "hidden regime: annual Sharpe ratio of the learned allocation",
            allocation,
            AllocationSharpe(),
            Rule.MEDIAN,
            1.8,
            seeds,
        ),
        Gate(
            "exec-almgren-chriss",
            "execution: gain over TWAP, as a share of the optimum's (Almgren and Chriss, 2000)",
            ExecutionTraining(300_000),
            ExcessOverTwap(),
            Rule.MEDIAN,
            0.90,
            seeds,
        ),
    )


def no_signal_gates(timesteps: int, seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    """Return the gates of the market without signal: training there must not become a profit, nor a loss."""
    training = _factor("no-signal", timesteps)
    return (
        Gate(
            "no-signal-sharpe",
            "signals that predict nothing do not become a profit",
            training,
            RealisedSharpe("forex"),
            Rule.NOT_ABOVE,
            0.0,
            seeds,
        ),
        Gate(
            "no-signal-utility",
            "a specialist learns to leave them alone: utility over that of the optimum on gp-easy",
            training,
            LossShare("forex", "gp-easy"),
            Rule.MEDIAN,
            -0.05,
            seeds,
        ),
    )


def _embedded_null(group: str, training: Training, seeds: tuple[int, ...]) -> tuple[Gate, Gate]:
    return (
        Gate(
            f"embedded-null-sharpe-{group}",
            f"{group}: the full observation of prices without signal does not become a profit",
            training,
            RealisedSharpe(group),
            Rule.NOT_ABOVE,
            0.0,
            seeds,
        ),
        Gate(
            f"embedded-null-utility-{group}",
            f"{group}: little is lost there: utility over that of the optimum with signals",
            training,
            LossShare(group, "embedded"),
            Rule.MEDIAN,
            -0.05,
            seeds,
        ),
    )


def _embedded_specialist(group: str, training: Training, threshold: float, seeds: tuple[int, ...]) -> Gate:
    return Gate(
        f"embedded-p1-{group}",
        f"{group}: the specialist earns this share of the exact optimum of one instrument alone",
        training,
        SpecialistShare(group),
        Rule.MEDIAN,
        threshold,
        seeds,
    )


def _team(steps: int, threshold: float, seeds: tuple[int, ...]) -> Gate:
    return Gate(
        "mappo-spread",
        f"cooperative navigation, {steps:,} steps: a team between random play (0) and a heuristic that solves it (1)",
        TeamTraining(steps),
        NormalisedScore(),
        Rule.MEDIAN,
        threshold,
        seeds,
    )


def _limits(training: Training, seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    """Return the gates of the risk layer: the specialists of all groups, the limits under strain."""
    tests = (
        ("kupiec", "as many losses beyond the forecast value at risk as it says (Kupiec, 1995)"),
        ("christoffersen", "as many, and none because of the one before (Christoffersen, 1998)"),
    )
    return (
        Gate(
            "limits-ex-ante",
            "share of bars within every limit before the fact, while the limits bind",
            training,
            LimitCompliance(),
            Rule.MEDIAN,
            1.0,
            seeds,
        ),
        *(
            Gate(f"limits-{name}", f"p-value: {claim}", training, ForecastCoverage(name), Rule.MEDIAN, 0.01, seeds)
            for name, claim in tests
        ),
    )


def _embedded_portfolio() -> tuple[Gate, ...]:
    rows = (
        ("p2-over-equal", "phase 2 over equal budgets of the same specialists", "Phase 2 over equal budgets", 1.15),
        ("p2-reference", "phase 2 over the best known allocation of these specialists", "Phase 2", 0.85),
        (
            "p2-oracle-reference",
            "phase 2 over the best known allocation of optimal specialists",
            "Phase 2 beside optimal specialists",
            0.85,
        ),
    )
    later = (
        ("p3-over-p2", "phase 3 over phase 2", "Phase 3 over phase 2"),
        ("p3-over-control", "phase 3 over joint training of equal steps without peers", "Phase 3 over its control"),
    )
    return (
        *(Gate(f"embedded-{n}", c, EMBEDDED, ReportedShare(t), Rule.MEDIAN, limit) for n, c, t, limit in rows),
        *(Gate(f"embedded-{n}", c, EMBEDDED, ReportedShare(t), Rule.LOW_ENDS, 1.0) for n, c, t in later),
    )
