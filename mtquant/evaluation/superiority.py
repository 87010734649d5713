"""Comparing many at once: whether any baseline is better than the agent, and which are as good as the best.

Looking for the best of several rivals is a search of its own. The test for superior predictive ability asks whether the
best rival is better than luck would make the best of so many; the model confidence set keeps all that cannot be told
from the best. Both resample the same days of everybody in blocks. Hansen (2005); Hansen, Lunde and Nason (2011).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import MCS, SPA

from mtquant.evaluation.statistics import FEWEST, block_length
from mtquant.types import Float

SIZE = 0.10
"""Level of the model confidence set: the best is in it with a probability of at least 90 %."""


@dataclass(frozen=True)
class Superiority:
    """The agent among its rivals."""

    agent: str
    beaten_p: float
    """p-value that no rival is better than the agent: small, one is. NaN without rivals or variance."""
    confidence_set: tuple[str, ...]
    """All, the agent included, that cannot be told from the best; best p-value first."""
    p_values: dict[str, float]
    """Of the confidence set: small, worse than the best."""

    @property
    def among_the_best(self) -> bool:
        """Whether the agent is in the confidence set."""
        return self.agent in self.confidence_set


def superiority(
    gains: Mapping[str, Float], agent: str, rng: np.random.Generator, *, samples: int, size: float = SIZE
) -> Superiority:
    """Return where `agent` stands among all in `gains`: name to what each day was worth [D], over the same days.

    Passes are strung together; with fewer than 20 days, or nobody to compare with, nothing is said. Rivals whose days
    are those of the agent (nothing was ever different) are left out.
    """
    own = np.asarray(gains[agent], dtype=np.float64)
    others = {n: np.asarray(g, dtype=np.float64) for n, g in gains.items() if n != agent}
    rivals = {n: g for n, g in others.items() if np.ptp(g - own) > 0.0}
    if len(own) < FEWEST or not rivals:
        return Superiority(agent, math.nan, (), {})
    differences = np.stack([g - own for g in rivals.values()], axis=1)
    length = block_length([differences])
    seeds = rng.integers(2**63, size=2)
    test = SPA(-own, -np.stack(list(rivals.values()), axis=1), length, samples, seed=np.random.default_rng(seeds[0]))
    test.compute()
    names = [agent, *rivals]
    losses = -np.stack([own, *rivals.values()], axis=1)
    chosen = MCS(losses, size, samples, length, seed=np.random.default_rng(seeds[1]))
    chosen.compute()
    p_values = chosen.pvalues["Pvalue"]
    found = {names[index]: float(p) for index, p in zip(p_values.index.tolist(), p_values.tolist(), strict=True)}
    kept = {names[int(index)] for index in np.asarray(chosen.included)}
    ranked = sorted(found, key=lambda name: -found[name])
    return Superiority(agent, float(test.pvalues["consistent"]), tuple(n for n in ranked if n in kept), found)
