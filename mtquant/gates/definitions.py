"""The gates: which markets are trained on, what is measured there, and what has to come out."""

from collections.abc import Iterator, Mapping

from mtquant.evaluation.targets import FINAL, documented_targets
from mtquant.gates.allocation import AllocationCapture, AllocationSharpe
from mtquant.gates.desk_gates import desk_gates
from mtquant.gates.documents import RealisedTarget
from mtquant.gates.execution import ExcessOverTwap, ExecutionTraining
from mtquant.gates.gate import Gate, Measure, Rule
from mtquant.gates.hierarchies import OptimumShare, Phase, PhaseRatio, PhaseSharpe
from mtquant.gates.limits import ForecastCoverage, LimitCompliance
from mtquant.gates.measures import LossShare, RealisedSharpe, ReportedShare, SpecialistShare, SpecialistSharpe
from mtquant.gates.teams import NormalisedScore, TeamTraining
from mtquant.gates.trainings import Training

SIGNALS_ALONE = (
    # Prices contain nothing more.
    "features.return_half_lives=[]",
    "features.return_lags=0",
    "features.indicators=[]",
)
"""What agents see on factor markets; how they learn there is the default."""

SHOWN_SIGNALS = ("environment.instruments=[EURUSD]", *SIGNALS_ALONE)
"""The same with one instrument, because all have the same law."""

HIDDEN_REGIME = (
    "data.source=hidden-regime",
    # One instrument per group: three desks.
    "environment.instruments=[EURUSD, XAUUSD, SPX500]",
    # The report on the regime is remembered as one exponential mean. This half-life loses 1 % of the filter's gain;
    # the default of 10 bars loses 22 %, no memory at all 32 %.
    "features.macro_half_life=3.0",
    # Its caps make the best allocation a step of the belief, which a linear actor cannot follow (0.74 of the gain).
    "phase2.ppo.actor_hidden=[64, 64]",
    "phase2.ppo.learning_rate=0.0003",
    "phase2.decision_bars=5",
)
"""The hidden-regime market and how the meta-controller learns on it."""

NETTING = (
    "data.source=gp-joint",
    # One instrument per group, so that every specialist has peers only in other groups.
    "environment.instruments=[EURUSD, XAUUSD, SPX500]",
    *SIGNALS_ALONE,
)
"""The netting market: three desks whose instruments move together, each knowing only its own signals."""

GROUPS = ("forex", "commodities", "equity")
THREE, FIVE = (0, 1, 2), (0, 1, 2, 3, 4)


def small_gates() -> tuple[Gate, ...]:
    """Return the gates that fit into a quarter of an hour: one seed, the budgets and thresholds of the full set."""
    return (
        *_factor_optimum(THREE),
        *_known_optima((0,)),
        *_netting((0,)),
        *no_signal_gates(500_000, (0,)),
        *_limits((0,), "phase1.timesteps=250_000"),
        _team_early((0,)),
        *_embedded((0,)),
    )


def full_gates() -> tuple[Gate, ...]:
    """Return all gates, with several seeds."""
    return (
        *_factor_optimum(FIVE),
        *_known_optima(THREE),
        *_netting(FIVE),
        *_netting_null(THREE),
        *no_signal_gates(500_000, FIVE),
        *(gate for group in GROUPS for gate in _embedded_null(group, THREE)),
        *_limits(THREE),
        _team_early(THREE),
        _team(THREE),
        *desk_gates(THREE),
        *_embedded(FIVE),
        *_embedded_flat(),
    )


def _factor(market: str, timesteps: int) -> Training:
    return Training((f"data.source={market}", f"phase1.timesteps={timesteps}", *SHOWN_SIGNALS), phase=1)


def _factor_optimum(seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    training, claim = _factor("gp-easy", 500_000), "share of the closed-form optimum (Garleanu and Pedersen, 2013)"
    learned = SpecialistShare("forex")
    return (
        Gate("p1-gp-easy", f"quadratic costs: {claim}", training, learned, Rule.MEDIAN, 0.92, seeds),
        Gate("p1-gp-easy-lowest", f"the same, the worst seed: {claim}", training, learned, Rule.LOWEST, 0.85, seeds),
        Gate(
            "p1-gp-easy-sharpe",
            "the same: annual Sharpe ratio of one instrument",
            training,
            SpecialistSharpe("forex"),
            Rule.MEDIAN,
            1.5,
            seeds,
        ),
    )


def _known_optima(seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    """Return the gates of a single agent on problems with an exact optimum."""
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


def _netting(seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    training = Training(NETTING, phase=3)
    rows: tuple[tuple[str, str, Measure, float], ...] = (
        (
            "p3-netting-over-alone",
            "netting: phase 3 over the best that desks can do without knowing of one another",
            OptimumShare("phase3", "phase1"),
            1.15,
        ),
        ("p3-netting", "netting: phase 3 as a share of the joint optimum", OptimumShare("phase3", "joint"), 0.80),
        ("p3-netting-sharpe", "netting: annual Sharpe ratio of phase 3", PhaseSharpe("phase3"), 2.0),
    )
    return tuple(Gate(n, claim, training, measure, Rule.MEDIAN, limit, seeds) for n, claim, measure, limit in rows)


def _netting_null(seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    """Return the gates of desks whose instruments have nothing to do with one another: knowing peers gains nothing."""
    training = Training((*NETTING, "data.planted={correlation: 0.0}"))
    control = PhaseRatio("phase3", "control")
    claim = "independent desks: phase 3 over joint training of equal steps without peers"
    return (
        Gate("p3-null-gain", f"{claim}: nothing is gained", training, control, Rule.AT_MOST, 1.03, seeds),
        Gate("p3-null-loss", f"{claim}: little is lost", training, control, Rule.MEDIAN, 0.95, seeds),
        Gate(
            "p3-null-bound",
            "independent desks: phase 3 cannot pass their stand-alone optimum",
            training,
            OptimumShare("phase3", "phase1"),
            Rule.AT_MOST,
            1.02,
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


def _embedded_null(group: str, seeds: tuple[int, ...]) -> tuple[Gate, Gate]:
    training = Training(("data.source=embedded-null",), phase=1)
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


def _team_early(seeds: tuple[int, ...]) -> Gate:
    return _navigation("mappo-spread-early", 200_000, 0.25, seeds)


def _team(seeds: tuple[int, ...]) -> Gate:
    return _navigation("mappo-spread", 2_000_000, 0.50, seeds)


def _navigation(name: str, steps: int, threshold: float, seeds: tuple[int, ...]) -> Gate:
    claim = f"cooperative navigation, {steps:,} steps: between random play (0) and a heuristic that solves it (1)"
    return Gate(name, claim, TeamTraining(steps), NormalisedScore(), Rule.MEDIAN, threshold, seeds)


def _limits(seeds: tuple[int, ...], *settings: str) -> tuple[Gate, ...]:
    """Return the gates of the risk layer: the specialists of all groups, the limits under strain."""
    training = Training(settings, phase=1)
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


def _embedded(seeds: tuple[int, ...]) -> tuple[Gate, ...]:
    """Return the gates of the default pipeline on the default market: what `make train` has to reach."""
    training = Training()
    specialists: list[tuple[str, str, Measure, float]] = [
        (
            f"p1-{group}",
            f"{group}: the specialist's share of the exact optimum of one instrument alone",
            SpecialistShare(group),
            0.90,
        )
        for group in GROUPS
    ]
    rows: tuple[tuple[str, str, Measure, float], ...] = (
        *specialists,
        ("p1-sharpe", "annual Sharpe ratio of the specialists at equal budgets", PhaseSharpe("phase1"), 1.5),
        (
            "p2-over-equal",
            "phase 2 over the best equal budgets of the same specialists",
            ReportedShare("Phase 2 over equal budgets"),
            1.25,
        ),
        ("p2-reference", "phase 2 over the best known allocation of these specialists", ReportedShare("Phase 2"), 0.90),
        ("p2-sharpe", "annual Sharpe ratio of phase 2", PhaseSharpe("phase2"), 1.8),
        ("p3-over-p2", "phase 3 over phase 2", ReportedShare("Phase 3 over phase 2"), 1.15),
        ("p3-joint", "phase 3 as a share of the joint optimum", ReportedShare("Phase 3"), 0.78),
        ("p3-sharpe", "annual Sharpe ratio of phase 3", PhaseSharpe("phase3"), 2.0),
    )
    control = Gate(
        "embedded-p3-over-control",
        "phase 3 over joint training of equal steps without peers",
        training,
        ReportedShare("Phase 3 over its control"),
        Rule.LOW_ENDS,
        1.0,
        seeds,
    )
    return (
        *(Gate(f"embedded-{n}", claim, training, found, Rule.MEDIAN, limit, seeds) for n, claim, found, limit in rows),
        control,
        *_documented(training, seeds),
    )


PHASES: Mapping[int, tuple[str, Phase]] = {
    1: ("p1", "phase1"),
    2: ("p2", "phase2"),
    3: ("p3", "phase3"),
    FINAL: ("final", "phase3"),
}
TARGETS = {
    "max_drawdown": "deepest drawdown within 1000 bars, mean over paths",
    "win_rate": "share of windows of 10 bars that end above zero",
    "var_compliance": "share of bars whose value at risk before the fact is at most 2 %",
}


def _documented(training: Training, seeds: tuple[int, ...]) -> Iterator[Gate]:
    """Return the gates of the documents' own targets; those on Sharpe ratios are among the others."""
    for target in documented_targets():
        if target.measure not in TARGETS:
            continue
        short, phase = PHASES[target.phase]
        yield Gate(
            f"embedded-{short}-{target.measure.replace('_', '-')}",
            f"the documents' target at 10 % annual volatility: {TARGETS[target.measure]}",
            training,
            RealisedTarget(phase, target.measure),
            Rule.AT_MOST if target.comparison == "<" else Rule.MEDIAN,
            target.threshold,
            seeds,
        )


def _embedded_flat() -> tuple[Gate, ...]:
    """Return the gates of the market whose later phases have nothing to add: no regimes, no correlation."""
    training = Training(("data.source=embedded-flat",))
    rows = (
        ("p2-over-equal", "phase 2 over equal budgets", "Phase 2 over equal budgets"),
        ("p3-over-control", "phase 3 over joint training of equal steps without peers", "Phase 3 over its control"),
    )
    return tuple(
        Gate(
            f"flat-{n}",
            f"nothing to allocate, nothing to net: {c}",
            training,
            ReportedShare(t),
            Rule.AT_MOST,
            1.02,
            (0,),
        )
        for n, c, t in rows
    )
