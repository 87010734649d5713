"""The result under other circumstances: cost sweep, delay, noise, stressed markets, crises inside the bars."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtquant.agents.hierarchy import Hierarchy
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.envs.scenario import Scenario
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.pooling import some_passes
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Clock, Measuring
from mtquant.evaluation.stress import (
    CostPoint,
    Robustness,
    Stressed,
    break_even,
    measure_stress,
    windows_inside,
    with_correlation,
    with_gaps,
)
from mtquant.types import ActFn, Array

BASIS_POINT = 1e-4
SWEEP_BPS = (0.0, 1.0, 2.0, 5.0, 30.0)
"""Costs per traded notional; 30 are the documents'."""
CONDITIONS = {
    "noise of 0.1 deviations on what is seen": Scenario(noise_level=0.1),
    "noise of 0.5 deviations on what is seen": Scenario(noise_level=0.5),
    "volatility x 3": Scenario(volatility_scale=3.0),
    "spread and all costs x 10": Scenario(cost_scale=10.0),
}
CORRELATION = 0.9


class Delayed:
    """A policy whose every decision comes one bar late, the first being `before`; an `ActFn` with a memory.

    `late` has one entry per run side by side, whose rows lie together; the others decide in time.
    """

    def __init__(self, act: ActFn, before: Array, late: Sequence[bool] = (True,)) -> None:
        self.act = act
        self.last = before
        self.late = late

    def __call__(self, observation: Array, /) -> Array:
        """Return what was decided one bar before, or now."""
        rows = len(observation)
        now = self.act(observation)
        mask = np.repeat(self.late, rows // len(self.late))[:, None]
        out: Array = np.where(mask, np.asarray(self.last, dtype=now.dtype), now)
        self.last = now
        return out


def measure_robustness(
    hierarchy: Hierarchy,
    dataset: Dataset,
    spec: PipelineSpec,
    split: Split,
    results: Mapping[str, BacktestResult],
    assessor: Assessor,
) -> Robustness:
    """Return how the backtest of `hierarchy` in `results` changes; the others there are shown beside it in crises."""
    clock, measuring = assessor.clock, assessor.measuring

    def under(name: str, result: BacktestResult) -> Stressed:
        return measure_stress(name, result, measuring, clock)

    stresses = [under("as it is", results[hierarchy.name])]
    wild = _together(hierarchy, dataset, spec, split, list(CONDITIONS.values()), delayed=True)
    stresses += [under(name, result) for name, result in zip((*CONDITIONS, "one bar of delay"), wild, strict=True)]
    others = {
        f"correlation {CORRELATION}": with_correlation(dataset, CORRELATION),
        "gaps of 5 deviations": with_gaps(dataset, assessor.streams.rng("evaluation", "gaps")),
    }
    stresses += [under(name, hierarchy.backtest(other, spec, split)) for name, other in others.items()]
    sweep = _sweep(hierarchy, dataset, spec, split, clock, measuring)
    edge = break_even([point.cost_bps for point in sweep], [point.annual_return for point in sweep])
    windows = windows_inside(results, clock, measuring)
    return Robustness(hierarchy.name, sweep, edge, tuple(stresses), windows)


def _sweep(
    hierarchy: Hierarchy, dataset: Dataset, spec: PipelineSpec, split: Split, clock: Clock, measuring: Measuring
) -> tuple[CostPoint, ...]:
    """Return the result at every cost of `SWEEP_BPS`, charged on traded notional and nothing else."""
    account = {"costs": "flat", "transaction_cost": BASIS_POINT}
    flat = spec.model_copy(update={"environment": spec.environment.model_copy(update=account)})
    found = _together(hierarchy, dataset, flat, split, [Scenario(cost_scale=bps) for bps in SWEEP_BPS])
    measured = [measure_stress("", result, measuring, clock) for result in found]
    return tuple(CostPoint(bps, one.sharpe, one.annual_return) for bps, one in zip(SWEEP_BPS, measured, strict=True))


def _together(
    hierarchy: Hierarchy,
    dataset: Dataset,
    spec: PipelineSpec,
    split: Split,
    conditions: Sequence[Scenario],
    *,
    delayed: bool = False,
) -> list[BacktestResult]:
    """Return one backtest per condition; with `delayed` one more, of late decisions in the market as it is."""
    game = hierarchy.game(dataset, spec)
    acts = hierarchy.acts
    if delayed:
        # last, so that the noise of the other rows is what it is without it
        late = [*[False] * len(conditions), True]
        conditions = [*conditions, Scenario()]
        acts = {agent: Delayed(act, np.zeros(game.actions(agent).size), late) for agent, act in acts.items()}
    result = backtest(game, split, acts, hierarchy.name, conditions=conditions)
    passes = result.alive.shape[1] // len(conditions)
    return [some_passes(result, range(n * passes, (n + 1) * passes)) for n in range(len(conditions))]
