"""Folds of a walk-forward as one result: every tested stretch of bars is a pass."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mtquant import metrics
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Measuring
from mtquant.evaluation.statistics import Interval
from mtquant.types import Array, Int


@dataclass(frozen=True)
class FoldRow:
    """One fold, for people."""

    fold: int
    train: str
    """First and last day, for several stretches the first and last of all."""
    validation: str
    test: str
    chosen: int
    """Phase that earned its place on validation."""
    gains: tuple[Interval, ...]
    """On validation, certainty-equivalent return per year: phase 2 over 1, 3 over 2; 3 over 1 where 2 is no better."""
    sharpe: dict[str, float]
    """Net Sharpe ratio on test, by backtest; `chosen` is what a person would have traded."""


def pool(name: str, results: Sequence[BacktestResult]) -> BacktestResult:
    """Return the passes of all `results` side by side, in order of the folds; shorter ones are padded."""
    longest = max(len(result.alive) for result in results)
    values: dict[str, Any] = {"name": name}
    for field in fields(BacktestResult):
        found = [getattr(result, field.name) for result in results]
        if all(isinstance(value, np.ndarray) for value in found):
            rows = longest + 1 if field.name == "equity" else longest
            values[field.name] = np.concatenate([_padded(value, rows, field.name) for value in found], axis=1)
        elif any(value is None for value in found):
            values[field.name] = None
    return replace(results[0], **values)


def some_passes(result: BacktestResult, passes: Sequence[int]) -> BacktestResult:
    """Return only the given passes of `result`."""
    arrays = {f.name: getattr(result, f.name) for f in fields(result)}
    chosen: dict[str, Any] = {
        name: value[:, list(passes)] for name, value in arrays.items() if isinstance(value, np.ndarray)
    }
    return replace(result, **chosen)


def strung(result: BacktestResult) -> BacktestResult:
    """Return the passes of `result` one after the other as a single pass, profits reinvested; for figures over time.

    Shares and exposures stay what they were; amounts of money are left as each pass had them.
    """
    alive = result.alive.T
    arrays = {f.name: getattr(result, f.name) for f in fields(result)}
    joined: dict[str, Any] = {
        name: np.swapaxes(value, 0, 1)[alive][:, None]
        for name, value in arrays.items()
        if isinstance(value, np.ndarray) and name != "equity"
    }
    growth = np.cumprod(1.0 + result.returns.T[alive])
    equity = result.equity[0, 0] * np.concatenate([[1.0], growth])
    return replace(result, equity=equity[:, None], **joined)


def _padded(values: Array, rows: int, name: str) -> Array:
    """Return `values` with `rows` rows: equity stands still, everything else is zero where a pass is over."""
    missing = rows - len(values)
    rest = np.repeat(values[-1:], missing, axis=0)
    return np.concatenate([values, rest if name == "equity" else np.zeros_like(rest)])


def pooled_measuring(found: Sequence[Measuring]) -> Measuring:
    """Return settings for pooled folds: correlation and unit risk, fitted on each train split, averaged."""
    correlation = np.mean([one.correlation for one in found], axis=0)
    return replace(found[0], correlation=correlation, unit_risk=float(np.mean([one.unit_risk for one in found])))


def path_sharpes(daily: Sequence[Array], paths: Int, tested: Sequence[Sequence[int]], per_year: float) -> list[float]:
    """Return the Sharpe ratio of every path of combinatorial cross-validation.

    `daily` are the daily returns of all passes in order of the combinations, `tested` the groups of each combination,
    `paths` [P, G] which combination tests each group (`data.folds.paths_of`).
    """
    where: dict[tuple[int, int], int] = {}
    for combination, groups in enumerate(tested):
        for group in groups:
            where[combination, group] = len(where)
    strung = [np.concatenate([daily[where[int(c), g]] for g, c in enumerate(path)]) for path in paths]
    return [float(metrics.sharpe(returns, per_year)) for returns in strung]
