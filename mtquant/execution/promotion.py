"""Whether a policy has earned to be `champion`: what its evaluation says, and the same days beside the present one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.context import Streams
from mtquant.errors import StoreError
from mtquant.evaluation.days import DAYS, DailyRecord, paired_gains, read_days
from mtquant.evaluation.statistics import Interval
from mtquant.store.explanation import explain
from mtquant.store.promotions import Policy
from mtquant.store.units import UNITS, Unit, read_spec

PHASE1, TEST = "phase1", "test"
SAMPLES = 1000
ALIKE = ("environment", "instruments", "order", "planted")
"""Parts of an evaluation's settings that have to be equal for its figures to be comparable: what trading costs."""


@dataclass(frozen=True)
class Figure:
    """One thing that the policy is measured against."""

    against: str
    """`phase 1`, a baseline, or `champion <run>`."""
    gain: Interval
    """Of utility, as certainty-equivalent return per year, over the same days."""
    problem: str = ""
    """Why there is no such figure, if there is none."""

    @property
    def met(self) -> bool:
        """Whether the lower end of the gain is above zero."""
        return not self.problem and self.gain.known and self.gain.low > 0.0

    def __str__(self) -> str:
        if self.problem:
            return f"against {self.against}: not comparable: {self.problem}"
        if not self.gain.known:
            return f"against {self.against}: too few days for an interval"
        gain = self.gain
        return (
            f"against {self.against}: {gain.value:+.2%} per year, "
            f"{gain.level:.0%} interval {gain.low:+.2%} to {gain.high:+.2%}"
        )

    def values(self) -> dict[str, Any]:
        """Return the figure as JSON values; undefined numbers are null."""
        numbers = {name: float(getattr(self.gain, name)) for name in ("value", "low", "high")}
        found = {name: number if np.isfinite(number) else None for name, number in numbers.items()}
        return found | {"met": self.met} | ({"problem": self.problem} if self.problem else {})


def figures_of(root: Path, policy: Policy, champion: Policy | None, *, samples: int = SAMPLES) -> list[Figure]:
    """Return what `policy` gains over phase 1, over every baseline, and over the present champion.

    Paired block bootstrap of daily utilities. Raises `StoreError` where its evaluation cannot be read.
    """
    unit = unit_with_key(root, policy.evaluation)
    record = read_days(unit.outputs / DAYS)
    figures = [_beside(policy, record, name, samples) for name in (PHASE1, *_baselines(unit))]
    return figures if champion is None else [*figures, _beside_champion(root, policy, champion, record, samples)]


def unit_with_key(root: Path, key: str) -> Unit:
    """Return the unit with a key. Raises `StoreError` where the store has it no more."""
    for folder in (root / UNITS).glob(f"*-{key[:12]}"):
        spec = read_spec(folder)
        if spec.key == key:
            return Unit(root, spec)
    raise StoreError(f"The store {root} has no unit with the key {key}; it was removed.")


def _baselines(unit: Unit) -> list[str]:
    return [str(name) for name in unit.spec.inputs["config"]["evaluation"]["baselines"]]


def _beside(policy: Policy, record: DailyRecord, name: str, samples: int) -> Figure:
    against = "phase 1" if name == PHASE1 else name
    if record.scale.split != TEST:
        problem = f"it was evaluated on the {record.scale.split} split; evaluate it on the {TEST} split"
        return Figure(against, Interval(np.nan), problem)
    return Figure(against, _gain(policy, record, record, name, samples, against))


def _beside_champion(root: Path, policy: Policy, champion: Policy, record: DailyRecord, samples: int) -> Figure:
    against = f"champion {champion.run_id}"
    try:
        other = unit_with_key(root, champion.evaluation)
        theirs = read_days(other.outputs / DAYS)
    except StoreError as error:
        return Figure(against, Interval(np.nan), str(error))
    problem = _difference(unit_with_key(root, policy.evaluation), other)
    if not problem and (record.scale != theirs.scale or not record.index.equals(theirs.index)):
        problem = "they were measured over different days or on different scales"
    if problem:
        return Figure(against, Interval(np.nan), problem)
    return Figure(against, _gain(policy, record, theirs, champion.stage, samples, champion.digest))


def _difference(own: Unit, other: Unit) -> str:
    """Return in what the bars or the costs of two evaluations differ; nothing where they are the same."""
    before, after = (
        {"data": unit.spec.inputs["data"], "config": {name: unit.spec.inputs["config"].get(name) for name in ALIKE}}
        for unit in (other, own)
    )
    changes = explain(before, after)
    return "; ".join(changes[:3]) + (f"; and {len(changes) - 3} more" if len(changes) > 3 else "")


def _gain(policy: Policy, own: DailyRecord, other: DailyRecord, name: str, samples: int, against: str) -> Interval:
    scale = own.scale
    rng = Streams(0).rng("promotion", policy.digest, against)
    gain, _ = paired_gains(
        own.series[policy.stage], other.series[name], scale.unit_risk, scale.risk_free_rate, rng, samples=samples
    )
    return gain
