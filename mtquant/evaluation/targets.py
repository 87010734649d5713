"""The documents' performance targets as data, and the verdict of a measured interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mtquant.evaluation.statistics import Interval

FINAL = 0
"""`Target.phase` of the documents' last column, which is asked of the last phase."""


class Verdict(StrEnum):
    """What an interval says about a target."""

    MET = "met"
    NOT_MET = "not met"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True)
class Target:
    """One number the documents ask of one phase."""

    phase: int
    """1 to 3, or `FINAL`."""
    measure: str
    """Name of the measure in a phase's intervals."""
    comparison: Literal[">", "<", ">="]
    threshold: float

    def verdict(self, interval: Interval) -> Verdict:
        """Judge `interval`: met or not met only where all of it lies on one side of the threshold."""
        if not interval.known:
            return Verdict.UNDECIDABLE
        at = self.threshold
        if self.comparison == "<":
            met, missed = interval.high < at, interval.low >= at
        elif self.comparison == ">":
            met, missed = interval.low > at, interval.high <= at
        else:
            met, missed = interval.low >= at, interval.high < at
        return Verdict.MET if met else Verdict.NOT_MET if missed else Verdict.UNDECIDABLE


@dataclass(frozen=True)
class Judged:
    """A target with what was measured."""

    target: Target
    phase: int
    """Phase that was measured: the target's own, or the last one for `FINAL`."""
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        """Met, not met or undecidable."""
        return self.target.verdict(self.interval)


def documented_targets(sharpe: float = 2.0, max_drawdown: float = 0.15) -> tuple[Target, ...]:
    """Return the documents' table; the two arguments are `reward.sharpe_target` and `reward.max_drawdown_target`.

    They replace the last column. Phase 1 has no target for value at risk.
    """
    return (
        *(Target(p, "sharpe", ">", at) for p, at in ((1, 1.5), (2, 1.8), (3, 2.0), (FINAL, sharpe))),
        *(Target(p, "max_drawdown", "<", at) for p, at in ((1, 0.20), (2, 0.18), (3, 0.15), (FINAL, max_drawdown))),
        *(Target(p, "win_rate", ">", at) for p, at in ((1, 0.55), (2, 0.60), (3, 0.65), (FINAL, 0.60))),
        *(Target(p, "var_compliance", ">", at) for p, at in ((2, 0.95), (3, 0.98))),
        Target(FINAL, "var_compliance", ">=", 1.0),
    )


def judge(targets: Sequence[Target], measured: Mapping[int, Mapping[str, Interval]]) -> tuple[Judged, ...]:
    """Return every target of a phase that was run, with its interval.

    `measured` maps phase to measure to interval; a measure that is missing there raises `KeyError`.
    """
    last = max(measured, default=FINAL)
    wanted = [(target, last if target.phase == FINAL else target.phase) for target in targets]
    return tuple(Judged(t, phase, measured[phase][t.measure]) for t, phase in wanted if phase in measured)
