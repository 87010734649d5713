"""What gates measure on whole hierarchies: phases beside one another and beside the optimum, without noise."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mtquant.agents.hierarchy import Hierarchy, load_trained
from mtquant.errors import StoreError
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, score_result, share, sharpe_interval, volatility_ratio
from mtquant.evaluation.oracles.policies import build_oracle
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.statistics import Interval
from mtquant.gates.measures import fresh_paths
from mtquant.gates.shares import PathSet
from mtquant.gates.trainings import FinishedRun
from mtquant.store.runs import load_run

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


def traded(run: FinishedRun, phase: Phase) -> tuple[PathSet, BacktestResult]:
    """Return the run's fresh paths and what a phase did on them."""
    return fresh_paths(run), _result_of(run.root, run.record.run_id, phase)


@lru_cache(maxsize=3)
def _result_of(root: Path, run_id: str, phase: Phase) -> BacktestResult:
    run = FinishedRun(root, load_run(root, run_id))
    paths = fresh_paths(run)
    return hierarchy_of(run, phase).backtest(paths.dataset, paths.spec, paths.split)


def _scored(run: FinishedRun, phase: Phase) -> tuple[PathSet, NoiseFreeScore]:
    paths, result = traded(run, phase)
    truth = paths.planted.truth
    return paths, score_result(result, truth, volatility_ratio(paths.dataset, truth))


def hierarchy_of(run: FinishedRun, phase: Phase) -> Hierarchy:
    """Return the trained agents of a phase. Raises `StoreError` where the run has none."""
    trained = load_trained(run.spec, run.dataset(), {name: run.outputs(name) for name in run.record.units})
    found: Hierarchy | None = getattr(trained, phase)
    if found is None:
        raise StoreError(f"Run {run.record.run_id} trained no control without peers.")
    return found
