"""Which blocks of the observation moved the decisions, from attributions that a policy's own library computes.

An attribution says by how much each number of the observation moved an output away from what the policy says about the
average observation; it adds up to the whole difference (completeness). Here they are summed by block.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.types import Array, Float

Explain = Callable[[Array], tuple[Float, Float]]
"""Observations `[N, d]` to attributions `[N, a, d]` and the differences `[N, a]` that they explain."""


@dataclass(frozen=True)
class Moved:
    """What moved the decisions of one agent."""

    agent: str
    shares: dict[str, float]
    """Block of the observation to its share of all movement; they add up to 1, or are NaN where nothing moved."""
    decisions: int
    """Explained outputs."""
    largest_gap: float
    """Between any difference and the sum of its attributions."""


def by_block(attributions: Float, blocks: Sequence[tuple[str, int]]) -> dict[str, Float]:
    """Return `attributions` [N, a, d] summed by block, `[N, a]` each.

    Raises `ValueError` where the widths of `blocks` are not d.
    """
    widths = [width for _, width in blocks]
    if sum(widths) != attributions.shape[2]:
        raise ValueError(f"Blocks of {sum(widths)} numbers cannot split attributions of {attributions.shape[2]}.")
    ends = np.cumsum(widths)
    return {
        name: attributions[:, :, end - width : end].sum(axis=2) for (name, width), end in zip(blocks, ends, strict=True)
    }


def moved(agent: str, parts: Mapping[str, Float], change: Float) -> Moved:
    """Return the shares of `parts`, block to `[N, a]`, in all movement; `change` [N, a] is what they explain."""
    sizes = {name: float(np.abs(part).sum()) for name, part in parts.items()}
    total = sum(sizes.values())
    gap = float(np.abs(sum(parts.values()) - change).max()) if change.size else 0.0
    shares = {name: size / total if total > 0.0 else float("nan") for name, size in sizes.items()}
    return Moved(agent, shares, int(change.size), gap)


def pool_moved(found: Sequence[Sequence[Moved]]) -> tuple[Moved, ...]:
    """Return the mean over folds, each weighted by its decisions; an agent that some fold lacks is left out."""
    by_agent = [{one.agent: one for one in fold} for fold in found]
    pooled = []
    for agent, first in by_agent[0].items() if by_agent else ():
        same = [fold[agent] for fold in by_agent if agent in fold]
        if len(same) < len(by_agent):
            continue
        count = sum(one.decisions for one in same)
        shares = {b: sum(one.decisions * one.shares[b] for one in same) / count for b in first.shares}
        pooled.append(Moved(agent, shares, count, max(one.largest_gap for one in same)))
    return tuple(pooled)
