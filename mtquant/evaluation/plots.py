"""The report's figures of equity, risk and learning; `drawing` says how they look."""

import re
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mtquant import metrics
from mtquant.evaluation import diagnosis_plots as diagnoses
from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.drawing import HEIGHT, LIGHT, STYLE, figure_of, legend, png, svg, thinned, time_axis
from mtquant.evaluation.pooling import strung
from mtquant.evaluation.result import BacktestResult
from mtquant.types import Float


def draw(content: ReportContent) -> dict[str, tuple[str, bytes]]:
    """Return figure name to (inline SVG, PNG); a figure whose data are not there is left out."""
    out = {}
    with mpl.rc_context(STYLE):
        for name, paint in PLOTS.items():
            figure = paint(content)
            if figure is not None:
                out[name] = (svg(figure, name), png(figure))
    return out


def _colour(entry: Assessed, content: ReportContent) -> str:
    if entry is content.chosen:
        return LIGHT["ink"]
    return LIGHT.get(f"phase{entry.phase}", LIGHT["other"])


def _phases(content: ReportContent) -> list[Assessed]:
    """Return the phases, and what a walk-forward chose of them."""
    return [*content.phases, *((content.chosen,) if content.chosen else ())]


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


def _equity(content: ReportContent) -> Figure | None:
    if not content.phases:
        return None
    figure, axes = figure_of()
    least, most = 1.0, 1.0
    for entry, is_phase in (*((b, False) for b in content.baselines), *((p, True) for p in _phases(content))):
        result = _over_time(entry, content)
        thin, value = thinned(time_axis(axes, result), _mean(_wealth(result)))
        least, most = min(least, np.nanmin(value)), max(most, np.nanmax(value))
        axes.plot(
            thin,
            value,
            color=_colour(entry, content),
            label=entry.short if is_phase else None,
            linewidth=1.8 if is_phase else 0.9,
            zorder=3 if is_phase else 2,
        )
    if content.baselines:
        axes.plot([], [], color=LIGHT["other"], linewidth=0.9, label="baselines")
    if least > 0.0 and most > 3.0 * least:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("equity / initial capital, net")
    legend(figure)
    return figure


def _drawdown(content: ReportContent) -> Figure | None:
    if not content.phases:
        return None
    figure, axes = figure_of()
    for entry in _phases(content):
        result = _over_time(entry, content)
        depth = metrics.drawdown(metrics.wealth(result.returns)).max(axis=1)
        thin, deep = thinned(time_axis(axes, result), 100.0 * depth, largest=True)
        axes.plot(thin, -deep, color=_colour(entry, content), label=entry.short, linewidth=1.3)
    axes.set_ylabel("drawdown, %")
    axes.set_ylim(top=0.0)
    legend(figure)
    return figure


def _intervals(content: ReportContent) -> Figure | None:
    entries = [*_phases(content), *content.controls, *content.baselines]
    if not entries:
        return None
    figure, axes = figure_of(0.9 + 0.27 * len(entries))
    for row, entry in enumerate(reversed(entries)):
        found = entry.intervals["sharpe"]
        if np.isfinite(found.value):
            axes.plot(found.value, row, "o", color=_colour(entry, content), markersize=5)
        if found.known:
            axes.plot([found.low, found.high], [row, row], color=_colour(entry, content), linewidth=2)
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
    axes.set_xlabel("net Sharpe ratio; upright mark: target")
    return figure


def _groups(content: ReportContent, values: Callable[[BacktestResult], Float | None], label: str) -> Figure | None:
    entry = content.result
    if entry is None:
        return None
    result = _over_time(entry, content)
    shares = values(result)
    if shares is None:
        return None
    count = int(result.alive[:, 0].sum())
    every = max(1, -(-count // 200))
    starts = np.arange(0, count, every)
    sizes = np.diff(np.append(starts, count))[:, None]
    table = np.add.reduceat(shares[:count], starts, axis=0) / sizes
    figure, axes = figure_of()
    x = time_axis(axes, result)
    colours = [LIGHT[f"group{g % 5}"] for g in range(len(result.groups))]
    axes.stackplot(x[starts], table.T, labels=result.groups, colors=colours, alpha=0.85, linewidth=0)
    axes.set_ylabel(f"{label}, {entry.short}")
    legend(figure, ncols=3)
    return figure


def _exposure(content: ReportContent) -> Figure | None:
    def by_group(result: BacktestResult) -> Float:
        member = np.equal.outer(np.arange(len(result.groups)), np.asarray(result.group_of)).astype(np.float64)
        out: Float = np.abs(result.exposure[:, 0]) @ member.T
        return out

    return _groups(content, by_group, "sum of |x|")


def _allocation(content: ReportContent) -> Figure | None:
    return _groups(content, lambda r: None if r.budgets is None else r.budgets[:, 0], "budgets")


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
    axes.set_xlabel("utility per bar; upright mark: reference; grey: full information")
    return figure


PLOTS: dict[str, Callable[[ReportContent], Figure | None]] = {
    "sharpe": _intervals,
    "share": _share,
    "equity": _equity,
    "drawdown": _drawdown,
    "fan": diagnoses.fan,
    "rolling": diagnoses.rolling,
    "attribution": diagnoses.waterfall,
    "costs": diagnoses.cost_sweep,
    "calibration": diagnoses.calibration,
    "exposure": _exposure,
    "allocation": _allocation,
    "learning": _learning,
}
