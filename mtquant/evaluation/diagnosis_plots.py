"""The report's figures of luck, attribution, costs and calibration."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom, norm

from mtquant.evaluation.content import ReportContent
from mtquant.evaluation.drawing import LIGHT, figure_of, legend

STATED = 0.95
"""Confidence of the value at risk that backtests state."""
FEWEST_DAYS = 126
"""With fewer nothing is seen of the rare levels."""
LEVELS = (0.01, 0.025, 0.05, 0.10, 0.20)


def fan(content: ReportContent) -> Figure | None:
    """Draw quantiles of resampled equity, what it did become, and the baselines."""
    found = content.fan
    if found is None:
        return None
    figure, axes = figure_of()
    for low, high, shade in (("0.05", "0.95", 0.18), ("0.25", "0.75", 0.3)):
        axes.fill_between(
            found.day,
            found.quantiles[low],
            found.quantiles[high],
            color=LIGHT["phase2"],
            alpha=shade,
            linewidth=0,
            label=f"{float(low):.0%} to {float(high):.0%}",
        )
    at = np.array(found.day) - 1
    for baseline in content.baselines:
        worth = np.cumprod(np.maximum(1.0 + np.concatenate(baseline.days.returns), 0.0))
        axes.plot(found.day, worth[at], color=LIGHT["other"], linewidth=0.8)
    if content.baselines:
        axes.plot([], [], color=LIGHT["other"], linewidth=0.8, label="baselines")
    axes.plot(found.day, found.own, color=LIGHT["ink"], linewidth=1.4, label="as it was")
    axes.axhline(1.0, color=LIGHT["muted"], linewidth=0.8)
    axes.set_xlabel("days")
    axes.set_ylabel("equity / initial capital")
    legend(figure)
    return figure


def waterfall(content: ReportContent) -> Figure | None:
    """Draw what each player adds to the profit."""
    found = content.attribution
    if found is None:
        return None
    names = [*found.players, "net profit"]
    worth = 100.0 * np.array([found.by_player[p] for p in found.players])
    start = np.concatenate([[0.0], np.cumsum(worth)[:-1], [0.0]])
    size = np.append(worth, worth.sum())
    figure, axes = figure_of(0.9 + 0.3 * len(names))
    colours = [LIGHT["good"] if value >= 0.0 else LIGHT["bad"] for value in worth]
    axes.barh(range(len(names)), size, left=start, color=[*colours, LIGHT["phase2"]], height=0.6)
    axes.axvline(0.0, color=LIGHT["muted"], linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the initial capital, %")
    return figure


def cost_sweep(content: ReportContent) -> Figure | None:
    """Draw the net return a year at each cost, and where it is gone."""
    found = content.robustness
    if found is None:
        return None
    figure, axes = figure_of()
    costs = [point.cost_bps for point in found.sweep]
    axes.plot(costs, [100.0 * point.annual_return for point in found.sweep], "o-", color=LIGHT["phase3"], markersize=4)
    axes.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    if np.isfinite(found.break_even_bps):
        axes.axvline(found.break_even_bps, color=LIGHT["ink"], linewidth=1.0, linestyle=":")
    axes.set_xlabel("cost, basis points of traded notional; dotted: nothing is left")
    axes.set_ylabel("net return a year, %")
    return figure


def calibration(content: ReportContent) -> Figure | None:
    """Draw how often days lost more than the value at risk at several levels, beside what was stated."""
    entry = content.result
    if entry is None:
        return None
    returns, stated = np.concatenate(entry.days.returns), np.concatenate(entry.days.value_at_risk)
    held = stated > 0.0
    if held.sum() < FEWEST_DAYS:
        return None
    scores = -returns[held] / (stated[held] / norm.ppf(STATED))
    levels = np.array(LEVELS)
    seen = np.array([float(np.mean(scores > norm.ppf(1.0 - level))) for level in LEVELS])
    days = int(held.sum())
    figure, axes = figure_of()
    band = [100.0 * binom.ppf(edge, days, levels) / days for edge in (0.025, 0.975)]
    axes.fill_between(
        100.0 * levels, band[0], band[1], color=LIGHT["line"], linewidth=0, label="95 % of right forecasts"
    )
    axes.plot(100.0 * levels, 100.0 * levels, color=LIGHT["muted"], linewidth=0.8)
    axes.plot(100.0 * levels, 100.0 * seen, "o-", color=LIGHT["phase3"], markersize=4, label=entry.short)
    axes.set_xlabel("stated, % of days")
    axes.set_ylabel("seen, % of days")
    legend(figure, ncols=2)
    return figure
