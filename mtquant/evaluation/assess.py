"""Backtests to what the report tells: measures, intervals, promotions, verdicts on targets."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtquant import metrics
from mtquant.context import Streams
from mtquant.evaluation.content import Assessed, Promotion
from mtquant.evaluation.days import paired_gains
from mtquant.evaluation.dependence import mean_error, sharpe_error
from mtquant.evaluation.fan import Fan, equity_fan
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Clock, Days, Measuring, by_day, common_clock, cut
from mtquant.evaluation.skill import judge_skill
from mtquant.evaluation.statistics import Interval, bootstrap, proportion
from mtquant.evaluation.summary import deepest_drawdown, summarise, win_windows
from mtquant.evaluation.superiority import Superiority, superiority
from mtquant.types import Float


class Assessor:
    """Measures backtests over the same bars; random streams depend on names only, so order does not matter."""

    def __init__(
        self, results: Sequence[BacktestResult], measuring: Measuring, streams: Streams, *, samples: int = 1000
    ) -> None:
        """Take everything that will be compared: `results` fix the common bars."""
        self.measuring = measuring
        self.streams = streams
        self.samples = samples
        self.clock: Clock = common_clock(results)

    def assess(
        self,
        result: BacktestResult,
        *,
        title: str,
        phase: int | None = None,
        equal: BacktestResult | None = None,
        note: str = "",
    ) -> Assessed:
        """Return `result` with measures and intervals; `equal` as in `summary.summarise`."""
        summary = summarise(result, self.measuring, clock=self.clock, equal=equal)
        days = by_day(result, self.clock, self.measuring)
        skill = judge_skill(days.returns, days.per_year, free=self.measuring.risk_free_rate)
        intervals = self._intervals(result, days, summary)
        return Assessed(result.name, title, result, summary, intervals, days, skill, phase, note)

    def promotion(self, later: Assessed, earlier: Assessed) -> Promotion:
        """Return whether `later` beats `earlier`, from paired resamples of the same days."""
        days = [by_day(a.result, self.clock, self.measuring) for a in (later, earlier)]
        rng = self.streams.rng("evaluation", "promotion", later.name, earlier.name)
        gain, sharpe_gain = paired_gains(
            days[0], days[1], self.measuring.unit_risk, self.measuring.risk_free_rate, rng, samples=self.samples
        )
        return Promotion(later.short, earlier.short, gain, sharpe_gain)

    def superiority(self, result: BacktestResult, rivals: Sequence[BacktestResult]) -> Superiority:
        """Return where `result` stands among `rivals`, by what each day was worth (utility)."""
        worth = {r.name: np.concatenate(by_day(r, self.clock, self.measuring).utility) for r in (result, *rivals)}
        rng = self.streams.rng("evaluation", "superiority", result.name)
        return superiority(worth, result.name, rng, samples=self.samples)

    def fan(self, result: BacktestResult) -> Fan | None:
        """Return what equity a path like that of `result` could have become."""
        days = by_day(result, self.clock, self.measuring)
        return equity_fan(days.returns, self.streams.rng("evaluation", "fan", result.name), samples=self.samples)

    def _intervals(self, result: BacktestResult, days: Days, summary: Mapping[str, float]) -> dict[str, Interval]:
        result = self.clock.fit(result)
        passes = [np.stack([r, u], axis=1) for r, u in zip(days.returns, days.utility, strict=True)]
        year, free = days.per_year, self.measuring.risk_free_rate
        days_per_bar = sum(len(p) for p in passes) / float(self.clock.alive.sum())

        def statistic(drawn: Sequence[Float]) -> Float:
            return _figures(drawn, year, free, days_per_bar)

        def errors(drawn: Sequence[Float]) -> Float:
            return _errors(drawn, year, free, days_per_bar)

        rng = self.streams.rng("evaluation", "interval", result.name)
        intervals = bootstrap(passes, statistic, rng, samples=self.samples, errors=errors)
        found = dict(zip(BOOTSTRAPPED, intervals, strict=True))
        # days hide what happened inside them: the interval is widened to hold the drawdown bar by bar
        found["max_drawdown"] = _around(summary["max_drawdown"], found["max_drawdown"])
        won, windows = win_windows(cut(result.returns, self.clock.alive), self.measuring.win_horizon_bars)
        found["win_rate"] = proportion(won, windows)
        # compliance before the fact is counted, not estimated
        share = summary["var_compliance"]
        found["var_compliance"] = Interval(share, share, share)
        return found


BOOTSTRAPPED = ("sharpe", "annual_return", "utility", "annual_volatility", "sortino", "profit_factor", "max_drawdown")
"""The first three are studentised; for the others resamples say what a path like this one could have shown."""


def _figures(drawn: Sequence[Float], year: float, free: float, days_per_bar: float) -> Float:
    """Return `[7]` the numbers of `BOOTSTRAPPED` of passes [D_n, 2] of returns and utilities."""
    pooled = np.concatenate(drawn)
    returns = pooled[:, 0]
    return np.asarray(
        [
            metrics.sharpe(returns, year, free),
            metrics.mean_return(returns, year),
            pooled[:, 1].mean() * days_per_bar if len(pooled) else np.nan,
            metrics.volatility(returns, year),
            metrics.sortino(returns, year, free),
            metrics.profit_factor(returns),
            deepest_drawdown([p[:, 0] for p in drawn]),
        ]
    )


def _errors(drawn: Sequence[Float], year: float, free: float, days_per_bar: float) -> Float:
    """Return `[7]` the standard errors of `_figures`; NaN where there is none."""
    means = mean_error(drawn)
    ratio = sharpe_error([p[:, :1] - free / year for p in drawn], year)[0]
    missing = len(BOOTSTRAPPED) - 3
    return np.asarray([ratio, means[0] * year, means[1] * days_per_bar, *[np.nan] * missing])


def measured_by_phase(phases: Sequence[Assessed]) -> dict[int, Mapping[str, Interval]]:
    """Return phase to intervals, as `targets.judge` wants them."""
    return {a.phase: a.intervals for a in phases if a.phase is not None}


def _around(value: float, interval: Interval) -> Interval:
    if not interval.known:
        return Interval(value, level=interval.level)
    return Interval(value, min(value, interval.low), max(value, interval.high), interval.level)
