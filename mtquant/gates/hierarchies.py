"""What gates measure on whole hierarchies: phases beside one another and beside the optimum, without noise."""

from dataclasses import dataclass
from typing import Literal

from mtquant.agents.hierarchy import Hierarchy, load_trained
from mtquant.errors import StoreError
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, share, sharpe_interval
from mtquant.evaluation.oracles.policies import build_oracle
from mtquant.evaluation.statistics import Interval
from mtquant.gates.measures import fresh_paths
from mtquant.gates.shares import PathSet
from mtquant.gates.trainings import FinishedRun

Phase = Literal["phase1", "phase2", "phase3", "control"]
"""`phase1`: equal budgets, fitted on validation; `control`: joint training of equal steps without peers."""


@dataclass(frozen=True)
class OptimumShare:
    """Noise-free utility of a phase over that of a reference policy (`ORACLES`), on the same fresh paths."""

    phase: Phase
    reference: str

    def __call__(self, run: FinishedRun) -> Interval:
        paths, learned = _scored(run, self.phase)
        warmup = run.spec.environment.warmup_steps
        return share(learned, paths.score(build_oracle(self.reference, paths.planted, warmup=warmup)))


@dataclass(frozen=True)
class PhaseRatio:
    """Noise-free utility of one phase over that of another, on the same fresh paths."""

    phase: Phase
    other: Phase

    def __call__(self, run: FinishedRun) -> Interval:
        paths, learned = _scored(run, self.phase)
        return share(learned, paths.score(hierarchy_of(run, self.other)))


@dataclass(frozen=True)
class PhaseSharpe:
    """Annual Sharpe ratio of a phase: expected return after costs over the risk of the shocks."""

    phase: Phase

    def __call__(self, run: FinishedRun) -> Interval:
        return sharpe_interval(_scored(run, self.phase)[1])


def _scored(run: FinishedRun, phase: Phase) -> tuple[PathSet, NoiseFreeScore]:
    paths = fresh_paths(run)
    return paths, paths.score(hierarchy_of(run, phase))


def hierarchy_of(run: FinishedRun, phase: Phase) -> Hierarchy:
    """Return the trained agents of a phase. Raises `StoreError` where the run has none."""
    trained = load_trained(run.spec, run.dataset(), {name: run.outputs(name) for name in run.record.units})
    found: Hierarchy | None = getattr(trained, phase)
    if found is None:
        raise StoreError(f"Run {run.record.run_id} trained no control without peers.")
    return found
