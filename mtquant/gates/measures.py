"""What gates measure on a finished run; every figure comes with its 95 % interval."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.errors import StoreError
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.oracles.books import follow
from mtquant.evaluation.oracles.noise_free import (
    NoiseFreeScore,
    score_book,
    score_result,
    share,
    sharpe_interval,
    volatility_ratio,
)
from mtquant.evaluation.oracles.policies import phase1
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.statistics import Interval
from mtquant.gates.shares import PathSet, path_set, specialist_scores
from mtquant.gates.trainings import FinishedRun
from mtquant.store.runs import load_run
from mtquant.synthetic.planted import Planted
from mtquant.synthetic.registry import build_planted, evaluation_paths
from mtquant.types import Float

ONE_HISTORY = {"train_histories": 1, "validation_histories": 1, "test_histories": 1}
"""Fresh paths do not depend on how much there is to train on, and generating less is faster."""


@dataclass(frozen=True)
class SpecialistShare:
    """Noise-free utility of a group's specialist over that of the stand-alone optimum, on the same fresh paths."""

    group: str

    def __call__(self, run: FinishedRun) -> Interval:
        return share(*specialist_scores(fresh_paths(run), bundle_of(run, self.group)))


@dataclass(frozen=True)
class SpecialistSharpe:
    """Annual Sharpe ratio of a specialist on single instruments: expected return over the risk of the shocks."""

    group: str

    def __call__(self, run: FinishedRun) -> Interval:
        return sharpe_interval(specialist_scores(fresh_paths(run), bundle_of(run, self.group))[0])


@dataclass(frozen=True)
class RealisedSharpe:
    """Annual net Sharpe ratio that a group's specialist realises on fresh paths; ends at two standard errors.

    Realised, because a policy that sees the future earns nothing by the noise-free score of a market without signal.
    """

    group: str

    def __call__(self, run: FinishedRun) -> Interval:
        paths = fresh_paths(run)
        returns = [result.returns for result in _passes(paths, bundle_of(run, self.group))]
        return sharpe_over_paths(np.stack(returns), paths.dataset.market.bars_per_year)


@dataclass(frozen=True)
class LossShare:
    """Noise-free utility on a market without signal over that of the optimum on `twin`, which has one."""

    group: str
    twin: str

    def __call__(self, run: FinishedRun) -> Interval:
        paths = fresh_paths(run)
        ratio = volatility_ratio(paths.dataset, paths.planted.truth)
        symbols = paths.dataset.market.symbols
        bundle = bundle_of(run, self.group)
        scores = [
            score_result(result, paths.planted.truth, ratio, _slots(paths, symbols.index(symbol)))
            for symbol, result in zip(bundle.instruments, _passes(paths, bundle), strict=True)
        ]
        per_path = np.mean([score.episodes / score.bars for score in scores], axis=0)
        spec = run.spec
        optimum = _stand_alone_optimum(_fresh(spec, self.twin), bundle.instruments, spec.environment.warmup_steps)
        return two_errors(per_path / optimum)


@dataclass(frozen=True)
class ReportedShare:
    """A row of the report's table of shares, by its title."""

    title: str

    def __call__(self, run: FinishedRun) -> Interval:
        report = json.loads((run.outputs("evaluate-report") / "report.json").read_bytes())
        rows = {row["title"]: row["share"] for row in report["shares"]}
        if self.title not in rows:
            raise StoreError(f"The report of run {run.record.run_id} has no share `{self.title}`; it has {list(rows)}.")
        found = rows[self.title]
        return Interval(
            *(float("nan") if found[end] is None else float(found[end]) for end in ("value", "low", "high"))
        )


def fresh_paths(run: FinishedRun) -> PathSet:
    """Return the fresh paths of the run's market and seed: those that its report uses."""
    return _paths_of(run.root, run.record.run_id)


@lru_cache(maxsize=1)
def _paths_of(root: Path, run_id: str) -> PathSet:
    """Return the paths of one run: many gates look at the same, and making them takes longer than most measures."""
    run = FinishedRun(root, load_run(root, run_id))
    spec = run.spec
    return path_set(run.dataset(), _fresh(spec, spec.data.source), spec)


def bundle_of(run: FinishedRun, group: str) -> PolicyBundle:
    """Return the trained specialist of a group."""
    return PolicyBundle.load(run.outputs(f"phase1-{group}") / group)


def sharpe_over_paths(returns: Float, bars_per_year: float) -> Interval:
    """Return the annual Sharpe ratio of returns `[K, S, N]` with ends at two standard errors.

    Instruments of one path share its shocks, so a path, not an instrument, is the independent unit. A policy that
    never trades has a Sharpe ratio of 0.
    """
    spread = float(returns.std())
    if spread == 0.0:
        return Interval(0.0, 0.0, 0.0)
    return two_errors(returns.mean(axis=(0, 1)) * (float(np.sqrt(bars_per_year)) / spread))


def two_errors(per_path: Float) -> Interval:
    """Return the mean of `[N]` figures of independent paths with ends at two standard errors."""
    value, error = float(per_path.mean()), float(per_path.std(ddof=1) / np.sqrt(len(per_path)))
    return Interval(value, value - 2.0 * error, value + 2.0 * error)


def _fresh(spec: PipelineSpec, market: str) -> Planted:
    streams, symbols = Streams(spec.seed), spec.environment.instruments
    overrides = spec.data.planted if market == spec.data.source else {}
    bars = spec.environment.warmup_steps + spec.environment.episode_length
    small = build_planted(market, {**overrides, **ONE_HISTORY}, streams, symbols)
    return evaluation_paths(small, streams, spec.evaluation.paired_episodes, bars)


def _passes(paths: PathSet, bundle: PolicyBundle) -> list[BacktestResult]:
    """Return one backtest per instrument of the specialist, every path one pass."""
    game = SpecialistGame(paths.dataset, paths.spec, bundle.agent)
    symbols = paths.dataset.market.symbols
    return [
        backtest(
            game, paths.split, {bundle.agent: bundle.actor.act}, symbol, slots=_slots(paths, symbols.index(symbol))
        )
        for symbol in bundle.instruments
    ]


def _slots(paths: PathSet, column: int) -> np.ndarray:
    return np.full((len(paths.split.segments), 1), column)


def _stand_alone_optimum(planted: Planted, symbols: tuple[str, ...], warmup: int) -> float:
    """Return the utility per bar of the stand-alone optimum, mean over instruments."""
    market = planted.market
    book = follow(phase1(planted), market, warmup)
    columns = [market.symbols.index(symbol) for symbol in symbols]
    scores: list[NoiseFreeScore] = [score_book(book, market, planted.truth, warmup, column) for column in columns]
    return float(np.mean([score.utility for score in scores]))
