"""Observation layouts and action bounds."""

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from mtquant.errors import UsageError
from mtquant.types import Array, Float, Float32, Int


@dataclass(frozen=True)
class ObservationLayout:
    """Names and widths of the blocks of one observation vector, in order."""

    blocks: tuple[tuple[str, int], ...]
    shape: tuple[int, ...] = ()
    """Shape that PettingZoo shows instead of the vector: a window of bars x columns. Batches stay vectors."""

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


UNCLIPPED = float(np.finfo(np.float32).max)
"""A clip that clips nothing, as JSON can hold it."""


def unchanged(width: int) -> Normaliser:
    """Return the normaliser that changes nothing."""
    return Normaliser(np.zeros(width, np.float32), np.ones(width, np.float32), UNCLIPPED)


@dataclass(frozen=True)
class ActionMap:
    """A continuous action of `size` numbers, clipped to [low, high] before it is used."""

    size: int
    low: float
    high: float

    def space(self) -> Box:
        """Return the Box of actions."""
        return Box(self.low, self.high, (self.size,), dtype=np.float32)

    def take(self, agent: str, action: Array) -> Float:
        """Return `[N, size]` within the bounds; what is not finite is an error."""
        if not np.isfinite(action).all():
            raise FloatingPointError(f"Agent `{agent}` chose an action that is not finite.")
        clipped: Float = np.clip(np.asarray(action, dtype=np.float64), self.low, self.high)
        return clipped

    def check(self, agent: str, action: Array) -> None:
        """Raise `UsageError` where one action `[size]` is not of this space; nothing is clipped."""
        found = np.asarray(action, dtype=np.float64)
        inside = found.shape == (self.size,) and bool((found >= self.low).all() and (found <= self.high).all())
        if not inside:
            raise UsageError(
                f"Agent `{agent}` chose {found.tolist()}; {self.size} numbers from {self.low:g} to {self.high:g} are "
                "allowed."
            )

    def sample(self, rng: np.random.Generator, rows: int, reach: float = np.inf) -> Float:
        """Return random actions `[rows, size]`, none beyond `reach`."""
        return rng.uniform(max(self.low, -reach), min(self.high, reach), (rows, self.size))

    def told(self, action: Float) -> str:
        """Return one action `[size]` for people."""
        return " ".join(f"{number:+.2f}" for number in action)


@dataclass(frozen=True)
class Choice:
    """One of several named choices, given as its index."""

    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Numbers per action: one."""
        return 1

    @property
    def low(self) -> float:
        """The first index."""
        return 0.0

    @property
    def high(self) -> float:
        """The last index."""
        return float(len(self.names) - 1)

    def space(self) -> Discrete:
        """Return the Discrete space of actions."""
        return Discrete(len(self.names))

    def take(self, agent: str, action: Array) -> Float:
        """Return `[N, 1]` indices of `[N]` or `[N, 1]`; anything that is no index is an error."""
        index = np.asarray(action, dtype=np.float64).reshape(len(action), -1)
        if not np.isfinite(index).all():
            raise FloatingPointError(f"Agent `{agent}` chose an action that is not finite.")
        wrong = (index != np.rint(index)) | (index < 0) | (index > self.high)
        if wrong.any() or index.shape[1] != 1:
            found = index[wrong][0] if wrong.any() else index[0].tolist()
            raise UsageError(f"Agent `{agent}` chose {found}; {self.allowed()} are allowed.")
        return index

    def check(self, agent: str, action: Array) -> None:
        """Raise `UsageError` where one action, a whole number, is not of this space."""
        found = np.asarray(action)
        if found.size != 1 or found.dtype.kind not in "iu" or not 0 <= int(found.reshape(())) <= self.high:
            raise UsageError(f"Agent `{agent}` chose {found.tolist()}; {self.allowed()} are allowed.")

    def sample(self, rng: np.random.Generator, rows: int, reach: float = np.inf) -> Float:
        """Return random choices `[rows, 1]`."""
        return rng.integers(0, len(self.names), (rows, 1)).astype(np.float64)

    def told(self, action: Float) -> str:
        """Return one action `[1]` for people: its name."""
        return self.names[int(action[0])]

    def allowed(self) -> str:
        """Return the choices for people: `0 SHORT, 1 NEUTRAL, 2 LONG`."""
        return ", ".join(f"{i} {name}" for i, name in enumerate(self.names))


Actions = ActionMap | Choice


@dataclass(frozen=True)
class Choices:
    """Several independent choices at once, each given as its index; only foreign environments have them."""

    counts: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers per action."""
        return len(self.counts)

    def space(self) -> MultiDiscrete[np.int64]:
        """Return the MultiDiscrete space of actions."""
        return MultiDiscrete(np.array(self.counts, dtype=np.int64))


AnyActions = Actions | Choices


def index_of(word: Float) -> Int:
    """Return `[N]` the indices of words `[N, 1]` of a `Choice`."""
    out: Int = word[:, 0].astype(np.int64)
    return out


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
