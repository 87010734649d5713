"""What the `limits` gates measure: the risk layer under strain, before the fact and after it.

The trained specialists run together at the largest equal budgets the meta-controller could give, so that limits
bind. Losses are compared with the value at risk stated before the bar. That forecast takes the expected return as
zero; on a planted market the generator knows it, and it is taken off the losses, because a profitable portfolio
exceeds its value at risk too rarely for a reason that is no error of the forecast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtquant.agents.hierarchy import with_equal_budgets
from mtquant.evaluation.coverage import LikelihoodRatio, conditional_coverage, unconditional_coverage
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import cut
from mtquant.evaluation.siege import obeyed
from mtquant.evaluation.statistics import Interval
from mtquant.gates.measures import bundle_of, fresh_paths
from mtquant.gates.shares import PathSet
from mtquant.gates.trainings import FinishedRun
from mtquant.sim.limits import build_limits
from mtquant.synthetic.planted import Truth
from mtquant.types import Array, Bool, Float

PATHS = 16
"""Fresh paths (16 000 bars). The volatility of the train split counts the signal as risk, 0.9 % too much on the
embedded market: more paths would find that out and nothing else."""
CoverageTest = Callable[[Sequence[Array], float], LikelihoodRatio]
COVERAGE: dict[str, CoverageTest] = {"kupiec": unconditional_coverage, "christoffersen": conditional_coverage}
"""Tests of exceedances by name: their number, and their number and order together."""


@dataclass(frozen=True)
class LimitCompliance:
    """Share of bars whose exposures obeyed every limit before the fact; NaN where no limit ever had to act."""

    def __call__(self, run: FinishedRun) -> Interval:
        paths = _few(fresh_paths(run))
        result = strained(run, paths)
        if not (result.projection[result.alive] > 0.0).any():
            return Interval(float("nan"))
        share = float(within_limits(result, paths).mean())
        return Interval(share, share, share)


@dataclass(frozen=True)
class ForecastCoverage:
    """p-value that losses exceed the forecast value at risk as they should, by a test of `COVERAGE`."""

    test: str

    def __call__(self, run: FinishedRun) -> Interval:
        paths = _few(fresh_paths(run))
        hits = exceedances(strained(run, paths), paths.planted.truth)
        p = COVERAGE[self.test](hits, 1.0 - paths.spec.limits.var_confidence).p
        return Interval(p, p, p)


def strained(run: FinishedRun, paths: PathSet) -> BacktestResult:
    """Run the specialists of phase 1 at the largest equal budgets."""
    spec = paths.spec
    acts = {group: bundle_of(run, group).act_fn() for group in spec.groups}
    # the budget limit itself is the end of a sigmoid
    budget = 0.99 * spec.phase2.budget_limit / len(spec.groups)
    return with_equal_budgets(acts, spec, budget).backtest(paths.dataset, spec, paths.split)


def within_limits(result: BacktestResult, paths: PathSet) -> Bool:
    """Return `[B]` whether the exposures of each bar obeyed the limits on position, sector, correlation and VaR."""
    spec = paths.spec
    limits = build_limits(
        spec.limits, paths.dataset.correlation, result.group_of, spec.environment.target_volatility, joint=False
    )
    return obeyed(result.exposure[result.alive], limits)


def exceedances(result: BacktestResult, truth: Truth) -> list[Bool]:
    """Return, per pass, the bars that lost more than the value at risk beyond what was to be expected."""
    equity = result.equity[:-1]
    expected = np.einsum("snk,snk->sn", result.exposure, truth.alpha[result.bar]) * truth.objective.unit_risk
    gross = result.gross.sum(axis=2) / np.where(result.alive, equity, 1.0)
    lost: Float = expected - gross
    at_risk = result.value_at_risk > 0.0
    return [
        hit[held]
        for hit, held in zip(cut(lost > result.value_at_risk, result.alive), cut(at_risk, result.alive), strict=True)
    ]


def _few(paths: PathSet) -> PathSet:
    """Return the first paths only."""
    splits = paths.dataset.splits
    few = replace(splits, test=replace(splits.test, segments=splits.test.segments[:PATHS]))
    return replace(paths, dataset=replace(paths.dataset, splits=few))
