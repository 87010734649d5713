"""Observation layouts and action bounds."""

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box

from mtquant.types import Float, Float32


@dataclass(frozen=True)
class ObservationLayout:
    """Names and widths of the blocks of one observation vector, in order."""

    blocks: tuple[tuple[str, int], ...]

    @property
    def width(self) -> int:
        """Length of the observation."""
        return sum(width for _, width in self.blocks)

    def slice(self, name: str) -> slice:
        """Return where block `name` lies."""
        start = 0
        for block, width in self.blocks:
            if block == name:
                return slice(start, start + width)
            start += width
        raise KeyError(name)

    def space(self, dtype: type[np.floating] = np.float32) -> Box:
        """Return the unbounded Box of this layout."""
        return Box(-np.inf, np.inf, (self.width,), dtype=dtype)


@dataclass(frozen=True)
class Normaliser:
    """(observation - mean) / std, clipped to [-clip, clip]; part of the network."""

    mean: Float32
    """[d]"""
    std: Float32
    """[d]"""
    clip: float


@dataclass(frozen=True)
class ActionMap:
    """A continuous action of `size` numbers, clipped to [low, high] before it is used."""

    size: int
    low: float
    high: float

    def space(self) -> Box:
        """Return the Box of actions."""
        return Box(self.low, self.high, (self.size,), dtype=np.float32)


@dataclass(frozen=True)
class BudgetMap:
    """Meta action of G + 1 numbers to budgets: softmax of G logits x sigmoid of the last x `limit`."""

    groups: int
    limit: float

    def decode(self, action: Float) -> tuple[Float, Float]:
        """Return budgets `[N, G]` and risk appetite `[N]` of actions `[N, G + 1]`."""
        logits = action[:, : self.groups]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        appetite = 1.0 / (1.0 + np.exp(-action[:, self.groups]))
        budgets = shifted / shifted.sum(axis=1, keepdims=True) * (appetite * self.limit)[:, None]
        return budgets, appetite

    def encode(self, budgets: Float) -> Float:
        """Return the action `[N, G + 1]` that decodes to positive `budgets` [N, G] (sum below `limit`)."""
        total = budgets.sum(axis=1, keepdims=True)
        share = np.clip(budgets / total, 1e-4, None)
        appetite = np.clip(total / self.limit, 1e-4, 1.0 - 1e-4)
        logits = np.log(share)
        centred = logits - 0.5 * (logits.max(axis=1, keepdims=True) + logits.min(axis=1, keepdims=True))
        out: Float = np.concatenate([centred, np.log(appetite / (1.0 - appetite))], axis=1)
        return out
