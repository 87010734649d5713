"""What a report is told: every figure it prints is in here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtquant.evaluation.attribution import Attribution
from mtquant.evaluation.explanation import Moved
from mtquant.evaluation.fan import Fan
from mtquant.evaluation.luck import Luck
from mtquant.evaluation.pooling import FoldRow
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Days
from mtquant.evaluation.skill import Skill
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.stress import Robustness
from mtquant.evaluation.superiority import Superiority
from mtquant.evaluation.targets import Judged
from mtquant.evaluation.trials import Search
from mtquant.types import Float, Int

Measured = Mapping[str, float]


@dataclass(frozen=True)
class Assessed:
    """One backtest with its measures and the intervals of some of them."""

    name: str
    """Short and unique: `phase2`, `momentum`."""
    title: str
    """For people: `Phase 2: learned allocation`."""
    result: BacktestResult
    summary: Measured
    """All measures (`summary.summarise`)."""
    intervals: Mapping[str, Interval]
    """Of `assess.BOOTSTRAPPED`, `win_rate` and `var_compliance`."""
    days: Days
    """Daily returns, utilities and values at risk."""
    skill: Skill
    """Taken as the only trial; `trials.json` of a report counts them."""
    phase: int | None = None
    """1 to 3; None for controls and baselines."""
    note: str = ""

    @property
    def short(self) -> str:
        """`Phase 2`, or the title where it is no phase."""
        return self.title if self.phase is None else f"Phase {self.phase}"


@dataclass(frozen=True)
class ShareRow:
    """Noise-free utility of one phase beside what is known to be possible on a planted market."""

    title: str
    """Who: `Phase 2`, `Phase 1, forex`."""
    utility: Interval
    """Noise-free utility per bar, u0."""
    share: Interval
    """Of the reference: utility / reference."""
    reference: str
    """What the reference earns it with: `the best known allocation of these specialists`."""
    reference_utility: float
    bound: Interval | None = None
    """Of full information."""
    bound_utility: float | None = None
    captured: Interval | None = None
    """(utility - previous) / (reference - previous)."""
    previous: str = ""
    """What came before: `equal allocation`."""
    phase: int | None = None


@dataclass(frozen=True)
class Promotion:
    """Whether a later phase earned its place: paired differences over the same bars."""

    later: str
    earlier: str
    gain: Interval
    """Difference of realised utility, as certainty-equivalent return per year."""
    sharpe_gain: Interval
    """Difference of the Sharpe ratios."""

    @property
    def earned(self) -> bool:
        """Whether the lower end of the gain is above zero."""
        return self.gain.known and self.gain.low > 0.0

    @property
    def harmed(self) -> bool:
        """Whether the upper end of the gain is below zero."""
        return self.gain.known and self.gain.high < 0.0


@dataclass(frozen=True)
class LearningCurve:
    """One metric of one unit's journal."""

    unit: str
    metric: str
    step: Int
    """[J]"""
    value: Float
    """[J]"""


@dataclass(frozen=True)
class MarketNote:
    """Which bars were traded, for people."""

    source: str
    """`embedded` or the folder's name."""
    planted: bool
    """Whether the market was generated with a known optimum."""
    timeframe: str
    split: str
    """Name of the split that was opened."""
    costs: str
    """Cost profile in force: `planted`, `realistic`, ..."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Symbol to where its bars came from."""
    warnings: tuple[str, ...] = ()
    """What the readers reported about the data."""


@dataclass(frozen=True)
class ReportContent:
    """Everything a report says. Equal contents give equal bytes."""

    title: str
    run_id: str
    command: str
    """The exact command that reproduces the run."""
    market: MarketNote
    phases: tuple[Assessed, ...]
    """In order; the last is the result where validation chose none."""
    baselines: tuple[Assessed, ...] = ()
    controls: tuple[Assessed, ...] = ()
    """Passes that answer a question, e.g. joint training without peers."""
    shares: tuple[ShareRow, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    targets: tuple[Judged, ...] = ()
    curves: tuple[LearningCurve, ...] = ()
    alarms: tuple[str, ...] = ()
    """What the learning curves give reason to look at, one sentence each."""
    chosen: Assessed | None = None
    """Of a walk-forward: in every fold the phase that earned its place on validation."""
    traded: int | None = None
    """Of one fold: the phase that earned its place on validation."""
    folds: tuple[FoldRow, ...] = ()
    paths: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Of combinatorial cross-validation: Sharpe ratio of every path, by backtest."""
    search: Search | None = None
    """What is left of the result among everything that was tried on the same bars; None: not known."""
    luck: Luck | None = None
    """The result among random policies that trade as much."""
    fan: Fan | None = None
    """Quantiles of resampled equity of the result."""
    attribution: Attribution | None = None
    """Where the result's profit came from."""
    moved: tuple[Moved, ...] = ()
    """What moved the decisions of every agent of the result."""
    robustness: Robustness | None = None
    """How the result bears other circumstances."""
    superiority: Superiority | None = None
    """The result among the baselines."""
    seed: int | None = None
    notes: tuple[str, ...] = ()
    """Further sentences of the caller (macro columns in use, limits that cannot bind, ...)."""

    @property
    def result(self) -> Assessed | None:
        """What the report is about: what validation chose, else the last phase."""
        if self.chosen is not None or not self.phases:
            return self.chosen
        return self.phases[-1 if self.traded is None else self.traded - 1]

    @property
    def consecutive(self) -> bool:
        """Whether the passes follow each other in time, as the folds of a walk-forward do."""
        return bool(self.folds) and not self.paths
