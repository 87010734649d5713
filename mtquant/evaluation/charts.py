"""The figures over time as data: the pictures draw them, the page shows them on hovering, `report.json` holds them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtquant import metrics
from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.pooling import strung
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import DAY
from mtquant.types import Float

POINTS = 400
STACKED_POINTS = 200
HALF_YEAR = 126
DIGITS = 5
"""Significant digits; more than a screen can show."""
RESULT, OTHER = "ink", "other"


@dataclass(frozen=True)
class Trace:
    """One line."""

    name: str
    colour: str
    """Its name in `drawing.LIGHT`."""
    x: Float
    """[P] days since 1970 where the chart has dates, else in the unit of its label."""
    y: Float
    """[P] NaN where there is nothing."""
    baseline: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over time."""

    x_label: str
    y_label: str
    traces: tuple[Trace, ...]
    dates: bool = False
    stacked: bool = False
    logarithmic: bool = False

    def values(self) -> dict[str, Any]:
        """Return the chart as JSON values; NaN is null. A line has positions of its own where it is a shorter one."""
        common = max((trace.x for trace in self.traces), key=len)
        return {
            "x": _rounded(common, 8),
            "x_label": self.x_label,
            "y_label": self.y_label,
            "dates": self.dates,
            "stacked": self.stacked,
            "logarithmic": self.logarithmic,
            "traces": [
                {"name": t.name, "colour": t.colour, "baseline": t.baseline, "y": _rounded(t.y, DIGITS)}
                | ({} if np.array_equal(t.x, common) else {"x": _rounded(t.x, 8)})
                for t in self.traces
            ],
        }


def charts_of(content: ReportContent) -> dict[str, Chart]:
    """Return figure name to chart; one whose data are not there is left out."""
    found = {name: make(content) for name, make in CHARTS.items()}
    return {name: chart for name, chart in found.items() if chart is not None}


def colour_of(entry: Assessed, content: ReportContent) -> str:
    """Return the name of the colour of `entry`."""
    if entry is content.chosen:
        return RESULT
    return OTHER if entry.phase is None else f"phase{entry.phase}"


def shown_phases(content: ReportContent) -> list[Assessed]:
    """Return the phases, and what a walk-forward chose of them."""
    return [*content.phases, *((content.chosen,) if content.chosen else ())]


@dataclass(frozen=True)
class When:
    """What positions in time mean."""

    label: str
    dates: bool


def positions(result: BacktestResult) -> tuple[Float, When]:
    """Return `[S + 1]` positions in time: dates for one pass, years since the start for several."""
    bars = len(result.time)
    if result.time.shape[1] > 1:
        out: Float = np.arange(bars + 1) / result.bars_per_year
        return out, When("years since the start of a history", False)
    days = result.time[:, 0] / DAY
    return np.append(days, days[-1] + (days[-1] - days[-2] if bars > 1 else 0.0)), When("date", True)


def thinned(x: Float, y: Float, *, largest: bool = False) -> tuple[Float, Float]:
    """Return at most about `POINTS` points; with `largest`, the largest of each bucket, so that peaks stay."""
    every = max(1, -(-len(x) // POINTS))
    if every == 1:
        return x, y
    starts = np.arange(0, len(x), every)
    if largest:
        return x[starts], np.fmax.reduceat(y, starts)
    keep = np.unique(np.append(starts, len(x) - 1))
    return x[keep], y[keep]


def _equity(content: ReportContent) -> Chart | None:
    if not content.phases:
        return None
    lines: list[Trace] = []
    when = When("", False)
    for entry in (*content.baselines, *shown_phases(content)):
        result = _over_time(entry, content)
        full, when = positions(result)
        x, y = thinned(full, _mean(_wealth(result)))
        lines.append(Trace(entry.short, colour_of(entry, content), x, y, baseline=len(lines) < len(content.baselines)))
    least = min(float(np.nanmin(line.y)) for line in lines)
    most = max(float(np.nanmax(line.y)) for line in lines)
    return Chart(
        when.label,
        "equity / initial capital, net",
        tuple(lines),
        dates=when.dates,
        logarithmic=least > 0.0 and max(most, 1.0) > 3.0 * min(least, 1.0),
    )


def _drawdown(content: ReportContent) -> Chart | None:
    if not content.phases:
        return None
    lines: list[Trace] = []
    when = When("", False)
    for entry in shown_phases(content):
        result = _over_time(entry, content)
        full, when = positions(result)
        depth = metrics.drawdown(metrics.wealth(result.returns)).max(axis=1)
        x, deep = thinned(full, 100.0 * depth, largest=True)
        lines.append(Trace(entry.short, colour_of(entry, content), x, -deep))
    return Chart(when.label, "drawdown, %", tuple(lines), dates=when.dates)


def _rolling(content: ReportContent) -> Chart | None:
    """Return the Sharpe ratio of the last half year, of the result and of the best baseline."""
    entry = content.result
    if entry is None:
        return None
    shown = [(entry, colour_of(entry, content))]
    ranked = [b for b in content.baselines if np.isfinite(b.summary["sharpe"])]
    if ranked:
        shown.append((max(ranked, key=lambda b: b.summary["sharpe"]), OTHER))
    dates = _dates(_over_time(entry, content))
    known = dates is not None and len(dates) == sum(len(returns) for returns in entry.days.returns)
    lines = []
    for one, colour in shown:
        returns = np.concatenate(one.days.returns)
        if len(returns) >= 2 * HALF_YEAR:
            days = np.arange(HALF_YEAR, len(returns) + 1).astype(np.float64)
            x, y = thinned(days, _rolling_sharpe(returns, one.days.per_year))
            when = x if dates is None or not known else dates[x.astype(int) - 1]
            lines.append(Trace(one.short, colour, when, y, baseline=one is not entry))
    label = "date" if known else "days"
    return Chart(label, f"Sharpe ratio, {HALF_YEAR} days", tuple(lines), dates=known) if lines else None


def _exposure(content: ReportContent) -> Chart | None:
    def by_group(result: BacktestResult) -> Float:
        member = np.equal.outer(np.arange(len(result.groups)), np.asarray(result.group_of)).astype(np.float64)
        out: Float = np.abs(result.exposure[:, 0]) @ member.T
        return out

    return _groups(content, by_group, "sum of |x|")


def _allocation(content: ReportContent) -> Chart | None:
    return _groups(content, lambda r: None if r.budgets is None else r.budgets[:, 0], "budgets")


def _groups(content: ReportContent, values: Callable[[BacktestResult], Float | None], label: str) -> Chart | None:
    entry = content.result
    if entry is None:
        return None
    result = _over_time(entry, content)
    shares = values(result)
    if shares is None:
        return None
    count = int(result.alive[:, 0].sum())
    starts = np.arange(0, count, max(1, -(-count // STACKED_POINTS)))
    sizes = np.diff(np.append(starts, count))[:, None]
    table = np.add.reduceat(shares[:count], starts, axis=0) / sizes
    x, when = positions(result)
    lines = tuple(Trace(group, f"group{g % 5}", x[starts], table[:, g]) for g, group in enumerate(result.groups))
    return Chart(when.label, f"{label}, {entry.short}", lines, dates=when.dates, stacked=True)


CHARTS: dict[str, Callable[[ReportContent], Chart | None]] = {
    "equity": _equity,
    "drawdown": _drawdown,
    "rolling": _rolling,
    "exposure": _exposure,
    "allocation": _allocation,
}


def _dates(result: BacktestResult) -> Float | None:
    """Return the days of a single pass; None for several."""
    if result.time.shape[1] > 1:
        return None
    return np.unique(result.time[result.alive[:, 0], 0] // DAY).astype(np.float64)


def _over_time(entry: Assessed, content: ReportContent) -> BacktestResult:
    return strung(entry.result) if content.consecutive else entry.result


def _wealth(result: BacktestResult) -> Float:
    """Return `[S + 1, N]` the value of 1; NaN after the end of a pass."""
    value = metrics.wealth(result.returns)
    ended = np.concatenate([np.zeros((1, value.shape[1]), dtype=bool), ~result.alive])
    out: Float = np.where(ended, np.nan, value)
    return out


def _mean(values: Float) -> Float:
    count = np.isfinite(values).sum(axis=1)
    total = np.nansum(values, axis=1)
    out: Float = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out


def _rolling_sharpe(returns: Float, per_year: float) -> Float:
    windows = np.lib.stride_tricks.sliding_window_view(returns, HALF_YEAR)
    spread = windows.std(axis=1, ddof=1)
    ratio = np.where(spread > 0.0, windows.mean(axis=1) / np.where(spread > 0.0, spread, 1.0), 0.0)
    out: Float = ratio * np.sqrt(per_year)
    return out


def _rounded(values: Float, digits: int) -> list[float | None]:
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values]
