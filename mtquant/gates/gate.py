"""A gate: what is trained, what is measured on it, and what has to come out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from mtquant.evaluation.statistics import Interval
from mtquant.gates.desks import DeskTraining
from mtquant.gates.execution import ExecutionTraining
from mtquant.gates.teams import TeamTraining
from mtquant.gates.trainings import Training

AnyTraining = Training | ExecutionTraining | TeamTraining | DeskTraining
"""What gates train on."""

Measure = Callable[[Any], Interval]
"""From what the gate's training left (`FinishedRun`, `FinishedExecution`, ...) to a figure with its interval."""


class Rule(StrEnum):
    """How the figures of all seeds are held against the threshold."""

    MEDIAN = "median of the seeds at least the threshold"
    LOWEST = "every seed at least the threshold"
    AT_MOST = "median of the seeds at most the threshold"
    LOW_ENDS = "lower end of every seed's interval above the threshold"
    NOT_ABOVE = "no seed above the threshold by two standard errors"


RULES: dict[Rule, Callable[[Sequence[Interval], float], bool]] = {
    Rule.MEDIAN: lambda found, threshold: float(np.median([one.value for one in found])) >= threshold,
    Rule.LOWEST: lambda found, threshold: all(one.value >= threshold for one in found),
    Rule.AT_MOST: lambda found, threshold: float(np.median([one.value for one in found])) <= threshold,
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
