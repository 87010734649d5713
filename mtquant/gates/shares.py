"""Share of the optimum: learned policies beside reference policies on fresh paths of a planted market.

Everything runs through the same simulator and risk layer and is scored without market noise
(`evaluation.oracles.noise_free`); policy and reference meet the same paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.hierarchy import Hierarchy, with_equal_budgets
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.features import Shown, rebuild_dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.oracles.books import book_of_result
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, score_result, volatility_ratio
from mtquant.evaluation.oracles.policies import allocation, fit_moments, joint, phase1, phase2, phase2_reference
from mtquant.synthetic.planted import Planted
from mtquant.types import ActFn, Float


@dataclass(frozen=True)
class PathSet:
    """Fresh paths with their truth, as a dataset with the statistics of the trained one."""

    planted: Planted
    dataset: Dataset
    spec: PipelineSpec

    @property
    def split(self) -> Split:
        """The paths, one segment each."""
        return self.dataset.splits.test

    def score(self, result_of: "Hierarchy | ActFn", name: str = "reference") -> NoiseFreeScore:
        """Run a hierarchy, or a policy of the portfolio game, over all paths and score it."""
        if isinstance(result_of, Hierarchy):
            result = result_of.backtest(self.dataset, self.spec, self.split)
        else:
            result = backtest(PortfolioGame(self.dataset, self.spec), self.split, {AGENT: result_of}, name)
        return score_result(result, self.planted.truth, volatility_ratio(self.dataset, self.planted.truth))


def path_set(trained: Dataset, paths: Planted, spec: PipelineSpec) -> PathSet:
    """Return `paths` as seen by agents trained on `trained`."""
    shown = Shown(paths.signals, paths.signal_names) if paths.signals is not None else None
    dataset = rebuild_dataset(trained, paths.market, paths.splits, spec.features, catalogue=spec.catalogue, shown=shown)
    return PathSet(paths, dataset, spec)


def specialist_scores(paths: PathSet, bundle: PolicyBundle) -> tuple[NoiseFreeScore, NoiseFreeScore]:
    """Score a specialist and the stand-alone optimum on single-instrument episodes of all its instruments."""
    learned, optimal = [], []
    symbols = paths.dataset.market.symbols
    oracle = phase1(paths.planted)
    truth, ratio = paths.planted.truth, volatility_ratio(paths.dataset, paths.planted.truth)
    for symbol in bundle.instruments:
        column = symbols.index(symbol)
        game = SpecialistGame(paths.dataset, paths.spec, bundle.agent)
        slots = np.full((len(paths.split.segments), 1), column)
        result = backtest(game, paths.split, {bundle.agent: bundle.actor.act}, symbol, slots=slots)
        learned.append(score_result(result, truth, ratio, slots))
        alone = PortfolioGame(_only(paths.dataset, column), paths.spec)
        reference = backtest(alone, paths.split, {AGENT: oracle.alone(column)}, symbol)
        optimal.append(score_result(reference, truth, ratio, slots))
    return _pooled(learned), _pooled(optimal)


@dataclass(frozen=True)
class PortfolioReferences:
    """Scores of what is known about allocating and joining, on the same paths."""

    equal: NoiseFreeScore
    """Equal budgets of the learned specialists at the budget fitted on validation."""
    learned_reference: NoiseFreeScore
    """The best known allocation of the learned specialists."""
    oracle_equal: NoiseFreeScore
    oracle_reference: NoiseFreeScore
    """The same two for optimal specialists."""
    joint_optimum: NoiseFreeScore
    bound: NoiseFreeScore
    """Full information: no policy can pass it."""


def portfolio_references(paths: PathSet, specialists: Mapping[str, ActFn], budget: float) -> PortfolioReferences:
    """Run the references of phases 2 and 3; `specialists` are those of phase 1, `budget` their common one."""
    spec, planted = paths.spec, paths.planted
    warmup = spec.environment.warmup_steps
    every, smoothing = spec.phase2.decision_bars, spec.phase2.budget_smoothing
    result = with_equal_budgets(specialists, spec, budget).backtest(paths.dataset, spec, paths.split)
    assert result.books is not None
    books: Float = book_of_result(replace(result, exposure=result.books), len(planted.market.time))
    moments = fit_moments(planted, books, warmup)
    reference = phase2_reference(planted, books, moments, warmup, every, smoothing)
    truth = planted.truth
    return PortfolioReferences(
        equal=score_result(result, truth, volatility_ratio(paths.dataset, truth)),
        learned_reference=paths.score(reference),
        oracle_equal=paths.score(allocation(planted, warmup=warmup)),
        oracle_reference=paths.score(phase2(planted, None, warmup, every, smoothing)),
        joint_optimum=paths.score(joint(planted)),
        bound=paths.score(joint(planted, "truth")),
    )


def _pooled(scores: list[NoiseFreeScore]) -> NoiseFreeScore:
    """Return one score whose episode e is the mean over instruments of their episodes on path e."""

    def mean(name: str) -> Float:
        values: Float = np.mean([getattr(s, name) for s in scores], axis=0)
        return values

    return NoiseFreeScore(mean("gross"), mean("risk"), mean("cost"), mean("bars"), scores[0].objective)


def _only(dataset: Dataset, column: int) -> Dataset:
    """Return the dataset of one instrument."""
    market: Market = dataset.market.select([dataset.market.symbols[column]])
    return replace(
        dataset,
        market=market,
        features=dataset.features[:, [column]],
        point_volatility=dataset.point_volatility[:, [column]],
        correlation=np.ones((1, 1)),
    )
