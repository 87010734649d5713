"""Reward history of a team: what each agent earned as training went on, and how their rewards moved together."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mtquant.store.files import write_atomic
from mtquant.store.journal import JournalLine
from mtquant.types import Float, Int

REPORT, PLOT = "rewards.md", "rewards.png"
PART = 10
"""The beginning and the end are a tenth of the rollouts each."""
SMOOTHED = 20


@dataclass(frozen=True)
class RewardHistory:
    """Rewards of the episodes that ended in each rollout, mean over them; R rollouts, n agents."""

    agents: tuple[str, ...]
    steps: Int
    """[R]"""
    rewards: Float
    """[R, n]"""

    @property
    def total(self) -> Float:
        """`[R]` the sum over agents."""
        out: Float = self.rewards.sum(axis=1)
        return out


@dataclass(frozen=True)
class Progress:
    """How one series of rewards developed; NaN where there are too few rollouts to say."""

    first: float
    """Mean of the first tenth of the rollouts."""
    last: float
    """Mean of the last tenth."""
    best: float
    """Best single rollout."""
    trend: float
    """Slope of the last half, per million steps: whether longer training would have brought more."""
    trend_error: float
    """Its standard error, as if rollouts were independent."""


def history_of(lines: Sequence[JournalLine], agents: Sequence[str]) -> RewardHistory:
    """Return the rewards in a journal; rollouts in which no episode ended have none."""
    told = [line for line in lines if "reward" in line.metrics]
    rewards = [[line.metrics[f"{agent}/reward"] for agent in agents] for line in told]
    steps = np.array([line.step for line in told], dtype=np.int64)
    return RewardHistory(tuple(agents), steps, np.array(rewards).reshape(len(told), len(agents)))


def progress_of(steps: Int, rewards: Float) -> Progress:
    """Return how `rewards` [R] developed over `steps` [R]."""
    count = len(rewards)
    if not count:
        return Progress(*(float("nan"),) * 5)
    part = max(1, count // PART)
    later, paid = steps[count // 2 :] / 1e6, rewards[count // 2 :]
    trend = error = float("nan")
    if len(later) > 2:
        centred = later - later.mean()
        spread = float(centred @ centred)
        trend = float(centred @ paid) / spread
        rest = paid - paid.mean() - trend * centred
        error = float(np.sqrt(rest @ rest / (len(later) - 2) / spread))
    return Progress(float(rewards[:part].mean()), float(rewards[-part:].mean()), float(rewards.max()), trend, error)


def coordination(rewards: Float) -> Float:
    """Return `[n, n]` correlations of the changes of the agents' rewards `[R, n]` from rollout to rollout.

    Of changes, because rewards that merely rise together would all correlate. NaN where an agent's never change.
    """
    changes = np.diff(rewards, axis=0)
    if len(changes) < 2:
        return np.full((rewards.shape[1],) * 2, np.nan)
    deviation = changes.std(axis=0)
    scaled = (changes - changes.mean(axis=0)) / np.where(deviation > 0, deviation, np.nan)
    out: Float = scaled.T @ scaled / len(changes)
    return out


def write_team_report(folder: Path, title: str, history: RewardHistory, facts: Mapping[str, Any]) -> None:
    """Write `rewards.md` and `rewards.png` into `folder`; `facts` are told at the top, in order."""
    write_atomic(folder / REPORT, _text(title, history, facts).encode())
    write_atomic(folder / PLOT, _plot(history))


def _text(title: str, history: RewardHistory, facts: Mapping[str, Any]) -> str:
    lines = [f"# {title}", "", *(f"- {name}: {_number(value)}" for name, value in facts.items()), ""]
    lines += ["| reward per episode | first tenth | last tenth | best rollout | trend per million steps |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    series = {"all agents": history.total} | {a: history.rewards[:, i] for i, a in enumerate(history.agents)}
    for name, rewards in series.items():
        found = progress_of(history.steps, rewards)
        shown = [_number(value) for value in (found.first, found.last, found.best)]
        lines.append(f"| {name} | {' | '.join(shown)} | {_number(found.trend)} +- {_number(found.trend_error)} |")
    if len(history.agents) > 1:
        together = coordination(history.rewards)
        lines += ["", "Correlation of the changes of rewards from rollout to rollout:", ""]
        lines += [f"| | {' | '.join(history.agents)} |", "| --- |" + " --- |" * len(history.agents)]
        for agent, row in zip(history.agents, together, strict=True):
            lines.append(f"| {agent} | {' | '.join(_number(value) for value in row)} |")
    return "\n".join([*lines, "", f"![Rewards by rollout]({PLOT})", ""])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plot(history: RewardHistory) -> bytes:
    """Return a picture of all agents' rewards, means of `SMOOTHED` rollouts over what they are made of."""
    with mpl.rc_context({"font.size": 9.0, "svg.hashsalt": "mtquant"}):
        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for index, agent in enumerate(history.agents):
            (line,) = axes.plot(history.steps, history.rewards[:, index], linewidth=0.5, alpha=0.3)
            smooth = _smoothed(history.rewards[:, index])
            axes.plot(history.steps[len(history.steps) - len(smooth) :], smooth, color=line.get_color(), label=agent)
        axes.set_xlabel("steps")
        axes.set_ylabel("reward per episode")
        if len(history.steps):
            axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        found = io.BytesIO()
        figure.savefig(found, format="png", dpi=110, metadata={"Software": None})
    return found.getvalue()


def _smoothed(rewards: Float) -> Float:
    window = min(SMOOTHED, len(rewards))
    return np.convolve(rewards, np.full(window, 1.0 / window), mode="valid") if window else rewards
