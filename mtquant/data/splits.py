"""`Split`: named, disjoint ranges of bars with purge and embargo."""

from dataclasses import dataclass
from datetime import date

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


def between(market: Market, splits: Splits, first: date | None, last: date | None) -> Split:
    """Return the bars from `first` to `last` (days UTC, both included; None: from the beginning, to the end).

    Raises `DataError` where they were trained on or chose a model, naming the overlap, and where there are none.
    """
    day = market.time.astype("datetime64[ns]").astype("datetime64[D]")
    inside = np.ones(len(day), dtype=bool)
    if first is not None:
        inside &= day >= np.datetime64(first)
    if last is not None:
        inside &= day <= np.datetime64(last)
    asked = f"{first or day.min()} to {last or day.max()}"
    if not inside.any():
        raise DataError(f"There are no bars from {asked}; the market has {day.min()} to {day.max()}.")
    for split in (splits.train, splits.validation):
        shared = inside & split.mask(len(day))
        if shared.any():
            raise DataError(
                f"The bars from {asked} cannot be evaluated: {int(shared.sum())} of them, {day[shared].min()} to "
                f"{day[shared].max()}, belong to the {split.name} split, which the policies have seen. Ask for bars "
                f"from {day[splits.test.mask(len(day))].min()} on."
            )
    found = []
    for start, stop in market.history_bounds():
        bars = np.flatnonzero(inside[start:stop])
        if len(bars):
            found.append((start + int(bars[0]), start + int(bars[-1]) + 1))
    return Split("test", tuple(found))


def by_history(market: Market, counts: tuple[int, int, int]) -> Splits:
    """Give whole histories to train, validation and test, in this order."""
    bounds = market.history_bounds()
    if sum(counts) != len(bounds):
        raise DataError(f"{sum(counts)} histories were to be split, the market has {len(bounds)}.")
    edges = np.cumsum((0, *counts))
    return Splits(*(Split(name, tuple(bounds[edges[i] : edges[i + 1]])) for i, name in enumerate(NAMES)))
