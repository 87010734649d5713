"""What episodes showed: per-bar figures of all rows, added up episode by episode."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtquant.types import Float, Int


class Evidence(NamedTuple):
    """What an episode showed, once it ended."""

    tag: int
    """What the curriculum knows the episode by."""
    value: float
    """`performance` or `mean`."""


class Sums(NamedTuple):
    """Bars of an episode, and sum and sum of squares of its figures."""

    bars: float
    total: float
    squares: float


def performance(sums: Sums) -> float:
    """Return how sure an episode makes one that its utility is above that of a flat account, in [0, 1].

    Phi(t) with t = mean / (std / sqrt(bars)) of the utility per bar; a flat account earns exactly 0. Without any
    edge it is uniform on [0, 1]: mean 0.5, standard deviation 0.29. 0.5 for fewer than two bars.
    """
    if sums.bars < 2:
        return 0.5
    mean = sums.total / sums.bars
    spread = max(sums.squares / sums.bars - mean * mean, 0.0) * sums.bars / (sums.bars - 1)
    if spread == 0.0:
        return 0.5 * (1.0 + float(np.sign(mean)))
    return 0.5 * (1.0 + math.erf(mean / math.sqrt(spread / sums.bars) / math.sqrt(2.0)))


def mean(sums: Sums) -> float:
    """Return the mean of the figures."""
    return sums.total / sums.bars


class Visits:
    """Knows which episode each of N rows is in, and adds up figures by episode; a row's episodes follow each other."""

    def __init__(self, rows: int) -> None:
        self.tag: Int = np.zeros(rows, dtype=np.int64)
        self.number: Int = np.full(rows, -1, dtype=np.int64)
        """[N] episodes counted in the order in which they began; -1 before the first."""
        self._next = 0
        self._tags: dict[int, int] = {}
        self._sums: dict[int, Sums] = {}
        self._bars: list[Int] = []
        self._values: list[Float] = []

    def begin(self, rows: Int, tags: Sequence[int]) -> None:
        """Begin episodes in `rows`."""
        self.tag, self.number = self.tag.copy(), self.number.copy()
        self.tag[rows] = tags
        self.number[rows] = np.arange(self._next, self._next + len(rows))
        self._tags |= dict(zip(self.number[rows].tolist(), tags, strict=True))
        self._next += len(rows)

    def bar(self, values: Float) -> None:
        """Note a figure of every row [N] for the bar just played."""
        self._bars.append(self.number)
        self._values.append(values)

    def replace(self, values: Float) -> None:
        """Let the bars since the last `ended` have the figures `values` [S, N] instead."""
        self._values = list(values)

    def ended(self, measure: Callable[[Sums], float]) -> list[Evidence]:
        """Return what the episodes that ended since the last call showed, in the order in which they began."""
        if self._bars:
            numbers, place = np.unique(np.stack(self._bars), return_inverse=True)
            values, place = np.stack(self._values).reshape(-1), place.reshape(-1)
            added = (np.bincount(place, weights=w) for w in (np.ones_like(values), values, values * values))
            for number, *new in zip(numbers.tolist(), *(one.tolist() for one in added), strict=True):
                old = self._sums.get(number, Sums(0.0, 0.0, 0.0))
                self._sums[number] = Sums(*(a + b for a, b in zip(old, new, strict=True)))
        self._bars, self._values = [], []
        running = set(self.number.tolist())
        over = [number for number in self._tags if number not in running]
        found = [Evidence(self._tags[n], measure(self._sums[n])) for n in over if n in self._sums]
        for number in over:
            del self._tags[number]
            self._sums.pop(number, None)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return JSON values, after `ended`."""
        sums = [list(self._sums.get(number, Sums(0.0, 0.0, 0.0))) for number in self.number.tolist()]
        return {"tag": self.tag.tolist(), "number": self.number.tolist(), "next": self._next, "sums": sums}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.tag, self.number = (np.array(values[name], dtype=np.int64) for name in ("tag", "number"))
        self._next = int(values["next"])
        running = [number for number in self.number.tolist() if number >= 0]
        self._tags = {number: int(tag) for number, tag in zip(self.number.tolist(), values["tag"], strict=True)}
        self._tags = {number: self._tags[number] for number in sorted(running)}
        sums = {n: Sums(*map(float, s)) for n, s in zip(self.number.tolist(), values["sums"], strict=True)}
        self._sums = {number: found for number, found in sums.items() if found.bars}
        self._bars, self._values = [], []
