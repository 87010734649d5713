"""`Split`: named, disjoint ranges of bars with purge and embargo."""

from dataclasses import dataclass

import numpy as np

from mtquant.config.agents import DataSpec
from mtquant.data.market import Market
from mtquant.errors import DataError

NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Bars `start <= t < stop` of a market; `segments` are its parts within single histories."""

    name: str
    segments: tuple[tuple[int, int], ...]

    @property
    def bars(self) -> int:
        """Number of bars."""
        return sum(stop - start for start, stop in self.segments)

    def mask(self, length: int) -> np.ndarray:
        """Return `[length]` True inside the split."""
        inside = np.zeros(length, dtype=bool)
        for start, stop in self.segments:
            inside[start:stop] = True
        return inside


@dataclass(frozen=True)
class Splits:
    """Train, validation and test ranges; later bars never precede earlier splits within a history."""

    train: Split
    validation: Split
    test: Split

    def __getitem__(self, name: str) -> Split:
        if name not in NAMES:
            raise KeyError(name)
        found: Split = getattr(self, name)
        return found


def by_fraction(market: Market, spec: DataSpec) -> Splits:
    """Cut a market of one history in time order, leaving `embargo_bars` out after each boundary."""
    bars = len(market.time)
    if spec.train_fraction + spec.validation_fraction >= 1:
        raise DataError("`train_fraction` plus `validation_fraction` must leave bars for the test split.")
    first = int(bars * spec.train_fraction)
    second = int(bars * (spec.train_fraction + spec.validation_fraction))
    embargo = spec.embargo_bars
    ranges = {"train": (0, first), "validation": (first + embargo, second), "test": (second + embargo, bars)}
    for name, (start, stop) in ranges.items():
        if stop - start < 20:
            raise DataError(
                f"The {name} split would have {max(0, stop - start)} bars of {bars} (embargo {embargo}); "
                "bring more bars, or change `data.train_fraction`, `data.validation_fraction` or `data.embargo_bars`."
            )
    return Splits(*(Split(name, (ranges[name],)) for name in NAMES))


def by_history(market: Market, counts: tuple[int, int, int]) -> Splits:
    """Give whole histories to train, validation and test, in this order."""
    bounds = market.history_bounds()
    if sum(counts) != len(bounds):
        raise DataError(f"{sum(counts)} histories were to be split, the market has {len(bounds)}.")
    edges = np.cumsum((0, *counts))
    return Splits(*(Split(name, tuple(bounds[edges[i] : edges[i + 1]])) for i, name in enumerate(NAMES)))
