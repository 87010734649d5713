"""What the hidden-regime gate measures: a learned allocation beside the filter's on fresh paths, without noise."""

from dataclasses import dataclass

from mtquant.agents.hierarchy import Hierarchy, load_acts
from mtquant.envs.games.joint import META
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, captured_gain, sharpe_interval
from mtquant.evaluation.oracles.policies import allocation, phase2
from mtquant.evaluation.statistics import Interval
from mtquant.gates.measures import fresh_paths
from mtquant.gates.shares import PathSet
from mtquant.gates.trainings import FinishedRun


def learned_allocation(run: FinishedRun) -> tuple[PathSet, NoiseFreeScore]:
    """Return fresh paths of the run's market and what the trained meta-controller earns there."""
    paths = fresh_paths(run)
    folders = {group: run.outputs(f"phase1-{group}") / group for group in run.spec.groups}
    acts = load_acts(folders | {META: run.outputs("phase2-meta") / META})
    return paths, paths.score(Hierarchy("phase2", acts, context=False, joint=False))


@dataclass(frozen=True)
class AllocationCapture:
    """(U - U_static) / (U_filter - U_static): the best constant allocation is 0, the exact filter 1.

    The filter decides as often as the meta-controller does and knows the law; both go through the same simulator.
    """

    def __call__(self, run: FinishedRun) -> Interval:
        paths, learned = learned_allocation(run)
        spec, planted = run.spec, paths.planted
        warmup, every = spec.environment.warmup_steps, spec.phase2.decision_bars
        static = paths.score(allocation(planted, warmup=warmup, common=False))
        best = paths.score(phase2(planted, None, warmup, every, spec.phase2.budget_smoothing))
        return captured_gain(learned, static, best)


@dataclass(frozen=True)
class AllocationSharpe:
    """Annual Sharpe ratio of the learned allocation, expected return over the risk of the shocks."""

    def __call__(self, run: FinishedRun) -> Interval:
        return sharpe_interval(learned_allocation(run)[1])
