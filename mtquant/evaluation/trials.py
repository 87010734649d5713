"""A result in the light of everything that was tried on the same bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.evaluation.overfitting import BLOCKS, LEAST_BARS, Overfitting, overfitting
from mtquant.evaluation.series import Days
from mtquant.evaluation.skill import Skill, judge_skill
from mtquant.store.trials import Trial


@dataclass(frozen=True)
class Search:
    """What a search leaves of a Sharpe ratio."""

    skill: Skill
    """With the number of trials in it."""
    listed: int
    """Trials whose results are in the store, this one included."""
    overfitting: Overfitting | None
    """Of the trials over the same days; None where there are too few."""


def judge_search(own: Trial, trials: Sequence[Trial], days: Days, *, earlier: int = 0, free: float = 0.0) -> Search:
    """Return what is left of `own`, whose days are `days`, among all `trials` on the same bars and split.

    `earlier` counts trials made elsewhere, of which only the number is known.
    """
    others = [trial for trial in trials if trial.policy != own.policy]
    finite = [trial.sharpe for trial in others if np.isfinite(trial.sharpe)]
    unlisted = earlier + len(others) - len(finite)
    skill = judge_skill(days.returns, days.per_year, others=finite, unlisted=unlisted, free=free)
    same = [own, *(t for t in others if (t.days, t.passes) == (own.days, own.passes))]
    enough = len(same) > 1 and len(own.days) >= LEAST_BARS * BLOCKS
    table = np.array([trial.returns for trial in same]).T
    return Search(skill, len(others) + 1, overfitting(table) if enough else None)
