"""Pictures of a team's training: all agents together, each agent by itself, and how their rewards moved together."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mtquant.evaluation.drawing import LIGHT, STYLE, WIDTH, figure_of, legend, png
from mtquant.evaluation.team_history import RewardHistory, coordination
from mtquant.types import Float, Int

SMOOTHED = 20
"""Rollouts that a thick line is the mean of."""
PANEL_HEIGHT = 1.5
COLOURS = tuple(LIGHT[f"group{number}"] for number in range(5))
DARK_FROM = 0.7
"""Share of the scale from which text is white."""
REWARD, STEPS = "reward per episode", "steps of training"


def draw_training(history: RewardHistory, measured: Sequence[tuple[int, float]] = (), best: int | None = None) -> bytes:
    """Return the sum of all agents' rewards as PNG: rollouts of the training, and what was `measured` at which step.

    `best` is the step whose model was kept.
    """
    with mpl.rc_context(STYLE):
        figure, axes = figure_of()
        _line(axes, history.steps, history.total, LIGHT["group0"], "while exploring")
        if measured:
            steps, rewards = np.array([step for step, _ in measured]), np.array([reward for _, reward in measured])
            axes.plot(steps, rewards, "o-", color=LIGHT["phase3"], markersize=4, label="validation, without exploring")
            kept = steps == best
            axes.plot(steps[kept], rewards[kept], "*", color=LIGHT["ink"], markersize=11, label="best model")
        _label(axes, "reward of all agents\nper episode")
        _labelled(figure, axes)
        return png(figure)


def draw_agents(history: RewardHistory) -> bytes:
    """Return each agent's reward as PNG, one panel an agent on one scale."""
    count = len(history.agents)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.8 + PANEL_HEIGHT * count), layout="constrained")
        panels = figure.subplots(count, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for number, (agent, axes) in enumerate(zip(history.agents, panels, strict=True)):
            _line(axes, history.steps, history.rewards[:, number], COLOURS[number % len(COLOURS)], "")
            axes.set_title(agent, loc="left", fontsize=9.0)
            axes.yaxis.set_major_locator(MaxNLocator(4))
        figure.supylabel(REWARD, fontsize=9.0, color=LIGHT["muted"])
        _label(panels[-1], "")
        return png(figure)


def draw_coordination(history: RewardHistory, agreed: Float | None = None) -> bytes:
    """Return how agents act together as PNG.

    Left, the correlations of the changes of their rewards, grey where there are too few rollouts; right, where it is
    given, `agreed` [n, n]: the shares of moments in which two of them choose the same.
    """
    panels = [("correlation of the changes of rewards\nfrom rollout to rollout", coordination(history.rewards), -1.0)]
    if agreed is not None:
        panels.append(("share of moments in which\nboth choose the same", agreed, 0.0))
    side = 1.6 + 0.6 * len(history.agents)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side * len(panels) + 1.0, side), layout="constrained")
        drawn = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(drawn, panels, strict=True):
            _matrix(axes, history.agents, *panel)
        for axes in drawn[1:]:
            axes.set_yticklabels([])
        return png(figure)


def _matrix(axes: Axes, agents: Sequence[str], title: str, found: Float, least: float) -> None:
    """Draw numbers for pairs of agents, darker the further they are from 0."""
    shades = mpl.colormaps["PuOr" if least < 0.0 else "Purples"].with_extremes(bad=LIGHT["line"])
    axes.imshow(np.ma.masked_invalid(found), cmap=shades, vmin=least, vmax=1.0, aspect="auto")
    axes.set_title(title, fontsize=9.0)
    axes.set_xticks(range(len(agents)), agents, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(agents)), agents)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(found):
        colour = "white" if abs(value) > DARK_FROM else LIGHT["ink"]
        text = f"{value:.2f}" if np.isfinite(value) else "unknown"
        axes.text(column, row, text, ha="center", va="center", color=colour)


def draw_all(history: RewardHistory, validation: Mapping[str, object], agreed: Float | None = None) -> dict[str, bytes]:
    """Return every picture by file name; `validation` is what `training.json` says of its measurements."""
    lines = validation["history"]
    assert isinstance(lines, list)
    measured = [(line["step"], float("nan") if line["reward"] is None else float(line["reward"])) for line in lines]
    best = validation["best_step"]
    return {
        "training.png": draw_training(history, measured, best if isinstance(best, int) else None),
        "agent_rewards.png": draw_agents(history),
        "coordination.png": draw_coordination(history, agreed),
    }


def _line(axes: Axes, steps: Int, rewards: Float, colour: str, label: str) -> None:
    """Draw every rollout thinly, and thickly the mean of the last `SMOOTHED` of them."""
    axes.plot(steps, rewards, color=colour, linewidth=0.6, alpha=0.35)
    window = min(SMOOTHED, max(1, len(rewards) // 3))
    smooth = np.convolve(rewards, np.full(window, 1.0 / window), mode="valid") if len(rewards) else rewards
    shown = f"{label}, mean of {window} rollouts" if label else None
    axes.plot(steps[len(steps) - len(smooth) :], smooth, color=colour, label=shown)


def _label(axes: Axes, told: str) -> None:
    axes.set_xlabel(STEPS)
    if told:
        axes.set_ylabel(told)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _labelled(figure: Figure, axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        legend(figure, ncols=1)
