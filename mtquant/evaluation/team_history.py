"""What each agent of a team earned as training went on, and how their rewards moved together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.store.journal import JournalLine
from mtquant.types import Array, Float, Int

PART = 10
"""The beginning and the end are a tenth of the rollouts each."""


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


def agreement(choices: Mapping[str, Array]) -> Float:
    """Return `[n, n]` the share of moments in which two agents chose the same, of `choices` [m, 1] by agent."""
    chosen = np.stack([choice[:, 0] for choice in choices.values()])
    out: Float = (chosen[:, None] == chosen[None]).mean(axis=2)
    return out


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
