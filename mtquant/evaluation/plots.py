"""The report's figures of equity, risk and learning; `drawing` says how they look."""

import re
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mtquant.evaluation import diagnosis_plots as diagnoses
from mtquant.evaluation.charts import Chart, charts_of, colour_of, shown_phases, thinned
from mtquant.evaluation.content import ReportContent
from mtquant.evaluation.drawing import HEIGHT, LIGHT, STYLE, date_axis, figure_of, legend, png, svg

CAPTIONS = {
    "sharpe": "Net Sharpe ratio and its interval; upright marks: targets",
    "share": "Noise-free utility; upright marks: the reference, grey: full information",
    "equity": "Equity net of costs, mean over passes",
    "drawdown": "Drawdown, deepest pass at each bar",
    "fan": "What a path like this one could have become: quantiles of resampled equity",
    "rolling": "Net Sharpe ratio of the last half year",
    "attribution": "Where the profit came from",
    "costs": "Net return a year by cost",
    "calibration": "Value at risk: days that lost more, said and seen",
    "exposure": "Exposure by group, risk units, first pass",
    "allocation": "Budgets of the meta-controller, first pass",
    "learning": "Learning curves",
}
CONSECUTIVE = {
    "equity": "Equity net of costs, fold after fold",
    "drawdown": "Drawdown, fold after fold",
    "exposure": "Exposure by group, risk units",
    "allocation": "Budgets of the meta-controller",
    "learning": "Learning curves, mean over folds",
}
"""Captions where the passes follow each other in time."""


def captions(content: ReportContent) -> dict[str, str]:
    """Return figure name to what stands above it."""
    return CAPTIONS | CONSECUTIVE if content.consecutive else CAPTIONS


def draw(content: ReportContent) -> dict[str, tuple[str, bytes]]:
    """Return figure name to (inline SVG, PNG); a figure whose data are not there is left out."""
    out, told = {}, captions(content)
    lines = charts_of(content)
    with mpl.rc_context(STYLE):
        for name in told:
            figure = _lines(lines[name]) if name in lines else PLOTS[name](content) if name in PLOTS else None
            if figure is not None:
                out[name] = (svg(figure, name, told[name]), png(figure))
    return out


def _lines(chart: Chart) -> Figure:
    """Draw a chart over time."""
    figure, axes = figure_of()
    if chart.dates:
        date_axis(axes)
    if chart.stacked:
        _stack(axes, chart)
    grey = 0
    for trace in () if chart.stacked else chart.traces:
        grey += trace.baseline
        axes.plot(
            trace.x,
            trace.y,
            color=LIGHT[trace.colour],
            label=trace.name if not trace.baseline or len(chart.traces) == 2 else "baselines" if grey == 1 else None,
            linewidth=0.9 if trace.baseline else 1.5,
            zorder=2 if trace.baseline else 3,
        )
    if chart.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    legend(figure)
    return figure


def _stack(axes: Axes, chart: Chart) -> None:
    axes.stackplot(
        chart.traces[0].x,
        [trace.y for trace in chart.traces],
        labels=[trace.name for trace in chart.traces],
        colors=[LIGHT[trace.colour] for trace in chart.traces],
        alpha=0.85,
        linewidth=0,
    )


def _intervals(content: ReportContent) -> Figure | None:
    entries = [*shown_phases(content), *content.controls, *content.baselines]
    if not entries:
        return None
    figure, axes = figure_of(0.9 + 0.27 * len(entries))
    for row, entry in enumerate(reversed(entries)):
        found = entry.intervals["sharpe"]
        if np.isfinite(found.value):
            axes.plot(found.value, row, "o", color=LIGHT[colour_of(entry, content)], markersize=5)
        if found.known:
            axes.plot([found.low, found.high], [row, row], color=LIGHT[colour_of(entry, content)], linewidth=2)
    for judged in content.targets:
        names = [e.phase for e in reversed(entries)]
        if judged.target.measure == "sharpe" and judged.target.phase:
            row = names.index(judged.phase)
            axes.plot([judged.target.threshold] * 2, [row - 0.35, row + 0.35], color=LIGHT["ink"], linewidth=1.2)
    axes.set_ylim(-0.6, len(entries) - 0.4)
    axes.axvline(0.0, color=LIGHT["muted"], linewidth=0.8)
    axes.set_yticks(range(len(entries)), [e.short for e in reversed(entries)])
    axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("net Sharpe ratio")
    return figure


def _learning(content: ReportContent) -> Figure | None:
    if not content.curves:
        return None
    figure, axes = figure_of(HEIGHT + 0.1 * len(content.curves))
    for index, curve in enumerate(content.curves):
        phase = re.match(r"phase(\d)", curve.unit)
        colour = LIGHT["other"] if phase is None else LIGHT.get(f"phase{phase[1]}", LIGHT["other"])
        style = ("-", "--", ":", "-.")[sum(c.unit[:6] == curve.unit[:6] for c in content.curves[:index]) % 4]
        x, y = thinned(curve.step.astype(np.float64) / 1000.0, curve.value)
        axes.plot(x, y, style, color=colour, label=f"{curve.unit}: {curve.metric}", linewidth=1.3)
    axes.set_xlabel("steps, thousands")
    metrics_shown = {curve.metric for curve in content.curves}
    axes.set_ylabel(metrics_shown.pop() if len(metrics_shown) == 1 else "as named above")
    legend(figure, ncols=2)
    return figure


def _share(content: ReportContent) -> Figure | None:
    if not content.shares:
        return None
    figure, axes = figure_of(0.9 + 0.42 * len(content.shares))
    for row, share in enumerate(reversed(content.shares)):
        colour = LIGHT.get(f"phase{share.phase}", LIGHT["other"])
        top = max(share.reference_utility, share.bound_utility or 0.0)
        axes.barh(row, top, height=0.56, color=LIGHT["line"])
        axes.barh(row, share.utility.value, height=0.56, color=colour)
        axes.plot([share.reference_utility] * 2, [row - 0.36, row + 0.36], color=LIGHT["ink"], linewidth=1.6)
    axes.set_yticks(range(len(content.shares)), [s.title for s in reversed(content.shares)])
    axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("utility per bar")
    return figure


PLOTS: dict[str, Callable[[ReportContent], Figure | None]] = {
    "sharpe": _intervals,
    "share": _share,
    "fan": diagnoses.fan,
    "attribution": diagnoses.waterfall,
    "costs": diagnoses.cost_sweep,
    "calibration": diagnoses.calibration,
    "learning": _learning,
}
