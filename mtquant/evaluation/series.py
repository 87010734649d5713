"""What measures are computed from: a backtest's passes as lists of daily series."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.errors import DataError
from mtquant.evaluation.result import BacktestResult
from mtquant.types import Array, Bool, Float, Int

DAY = 86_400_000_000_000


@dataclass(frozen=True)
class Measuring:
    """Settings of the measures; the same for everything that is compared."""

    correlation: Float
    """[K, K] correlation of one-bar returns over the train split, in the order of the result's symbols."""
    unit_risk: float
    """u0: standard deviation of one bar's return of exposure 1."""
    risk_aversion: float = 20.0
    """Risk aversion of the utility, per year."""
    risk_free_rate: float = 0.0
    """Annual rate that Sharpe and Sortino ratios subtract."""
    win_horizon_bars: int = 10
    """Horizon of the win rate."""
    var_limit: float = 0.02
    """Limit of the ex-ante value at risk, share of equity per day."""
    var_confidence: float = 0.95
    """Confidence of the value at risk."""

    @classmethod
    def of(cls, spec: PipelineSpec, dataset: Dataset) -> "Measuring":
        """Return what `spec` asks, for results over all instruments of `dataset`."""
        return cls(
            correlation=np.asarray(dataset.correlation),
            unit_risk=spec.environment.target_volatility * dataset.unit_risk,
            risk_aversion=spec.phase3.reward.risk_aversion,
            risk_free_rate=spec.phase3.reward.risk_free_rate,
            win_horizon_bars=spec.evaluation.win_horizon_bars,
            var_limit=spec.limits.max_portfolio_var,
            var_confidence=spec.limits.var_confidence,
        )


@dataclass(frozen=True)
class Clock:
    """The bars that compared backtests share."""

    time: Int
    """[S, N] open time, nanoseconds UTC."""
    alive: Bool
    """[S, N] whether the segment has this bar."""
    bars_per_year: float

    @property
    def years(self) -> float:
        """Years of all passes together."""
        return float(self.alive.sum() / self.bars_per_year)

    def fit(self, result: BacktestResult) -> BacktestResult:
        """Return `result` with as many bars as the clock: where all its accounts were ruined early, none runs on."""
        missing = len(self.alive) - len(result.alive)
        if missing < 0 or (result.alive & ~self.alive[: len(result.alive)]).any():
            raise DataError(f"`{result.name}` ran over bars that are not on this clock.")
        if not missing:
            return result
        longer: dict[str, Any] = {}
        for field in fields(result):
            value = getattr(result, field.name)
            if isinstance(value, np.ndarray):
                rest = value[-1:] if field.name == "equity" else np.zeros_like(value[-1:])
                longer[field.name] = np.concatenate([value, np.repeat(rest, missing, axis=0)])
        return replace(result, **longer)

    @property
    def days_per_year(self) -> float:
        """Days with at least one bar, per year."""
        return self.bars_per_year * sum(len(s) for s in self._starts()) / max(1, int(self.alive.sum()))

    def daily_sums(self, values: Float) -> list[Float]:
        """Return `values` [S, N] summed by day, one `[D_n]` per pass."""
        return [np.add.reduceat(v, s) for v, s in zip(cut(values, self.alive), self._starts(), strict=True)]

    def daily_products(self, values: Float) -> list[Float]:
        """Return `values` [S, N] multiplied by day, one `[D_n]` per pass."""
        return [np.multiply.reduceat(v, s) for v, s in zip(cut(values, self.alive), self._starts(), strict=True)]

    def days(self) -> list[Int]:
        """Return the days with at least one bar, days since 1970 (UTC), one `[D_n]` per pass."""
        return [day[starts] for day, starts in zip(self._days(), self._starts(), strict=True)]

    def _starts(self) -> list[Int]:
        """Positions at which a UTC day begins, per pass."""
        return [np.flatnonzero(np.diff(day, prepend=day[0] - 1) != 0) for day in self._days()]

    def _days(self) -> list[Int]:
        """The day of each bar, per pass."""
        return [self.time[self.alive[:, n], n] // DAY for n in range(self.alive.shape[1]) if self.alive[:, n].any()]


def common_clock(results: Sequence[BacktestResult]) -> Clock:
    """Return the bars on which at least one of `results` ran.

    An account that was ruined earlier than the others counts as flat from then on, so that pairs stay pairs.
    Raises `DataError` where the results do not run over the same bars.
    """
    longest = max(results, key=lambda r: len(r.alive))
    alive, time = longest.alive.copy(), longest.time.copy()
    for result in results:
        bars = len(result.alive)
        if result.alive.shape[1] != alive.shape[1]:
            raise DataError(
                f"`{result.name}` has {result.alive.shape[1]} passes, `{longest.name}` {alive.shape[1]}; "
                "only backtests over the same split can be compared."
            )
        both = result.alive & alive[:bars]
        if not np.array_equal(result.time[both], time[:bars][both]):
            raise DataError(f"`{result.name}` and `{longest.name}` ran over different bars and cannot be compared.")
        time[:bars] = np.where(result.alive, result.time, time[:bars])
        alive[:bars] |= result.alive
    return Clock(time, alive, longest.bars_per_year)


def cut(values: Array, alive: Bool) -> list[Array]:
    """Return `values` [S, N, ...] as one `[S_n, ...]` per pass, dropping bars on which nothing ran."""
    return [values[alive[:, n], n] for n in range(alive.shape[1]) if alive[:, n].any()]


@dataclass(frozen=True)
class Days:
    """A backtest by UTC days, one entry per pass; on daily bars a day is a bar."""

    returns: list[Float]
    """[D_n] compounded net return."""
    utility: list[Float]
    """[D_n] realised utility summed over the day, u0."""
    value_at_risk: list[Float]
    """[D_n] ex-ante value at risk: root mean square over the bars of the day."""
    per_year: float
    """Days per year."""


def by_day(result: BacktestResult, clock: Clock, measuring: Measuring) -> Days:
    """Return `result` by the days of `clock`."""
    result = clock.fit(result)
    squared = clock.daily_sums(np.where(result.alive, result.value_at_risk, 0.0) ** 2)
    counts = clock.daily_sums(np.ones(clock.alive.shape))
    return Days(
        returns=[growth - 1.0 for growth in clock.daily_products(1.0 + result.returns)],
        utility=clock.daily_sums(utility(result, measuring)),
        value_at_risk=[np.sqrt(s / c) for s, c in zip(squared, counts, strict=True)],
        per_year=clock.days_per_year,
    )


def utility(result: BacktestResult, measuring: Measuring) -> Float:
    """Return `[S, N]` realised utility of each bar in u0: net return / u0 - (g/2) x'Rx, g = risk_aversion u0.

    0 where the pass no longer ran.
    """
    aversion = measuring.risk_aversion * measuring.unit_risk
    risk = np.einsum("sni,ij,snj->sn", result.exposure, measuring.correlation, result.exposure)
    out: Float = np.where(result.alive, result.returns / measuring.unit_risk - 0.5 * aversion * risk, 0.0)
    return out
