"""Folds: the same bars split into train, validation and test several times.

Walk-forward folds test on what comes after everything they saw. Combinatorial purged cross-validation (Lopez de Prado,
"Advances in financial machine learning", 2018, chapter 12) tests every choice of some groups of bars, which gives
several paths through all bars instead of one; it trains on the future of some tests and is a diagnostic.
"""

from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np

from mtquant.config.walk_forward import WalkForwardSpec
from mtquant.data.splits import Split, Splits
from mtquant.errors import DataError
from mtquant.types import Int

LEAST_BARS = 40
"""Bars that a train, validation or test block has at least."""
Range = tuple[int, int]


def make_folds(bars: int, spec: WalkForwardSpec, gap: int) -> tuple[Splits, ...]:
    """Return the folds of `bars` bars of one history, with at least `gap` bars between train, validation and test.

    Raises `DataError` where a block would be too short.
    """
    if spec.scheme == "combinatorial":
        return combinatorial_folds(bars, spec.groups, spec.test_groups, gap, spec.validation_fraction)
    first = int(bars * spec.first_train_fraction)
    edges = np.linspace(first, bars, spec.folds + 1).astype(int)
    span = int(edges[0])
    folds: list[Splits] = []
    for start, stop in pairwise(edges):
        begin = 0 if spec.scheme == "anchored" else int(start) - span
        chosen = int((start - begin) * (1.0 - spec.validation_fraction)) + begin
        blocks = ((begin, chosen - gap), (chosen, int(start) - gap), (int(start), int(stop)))
        folds.append(_splits(len(folds) + 1, *(((a, b),) for a, b in blocks)))
    return tuple(folds)


@dataclass(frozen=True)
class Combination:
    """One split of combinatorial purged cross-validation."""

    train: tuple[Range, ...]
    """What is left of the other groups after purge and embargo."""
    test: tuple[Range, ...]
    """The tested groups, in order of time."""


def combinations_of(bars: int, groups: int, test_groups: int, *, purge: int, embargo: int) -> tuple[Combination, ...]:
    """Return every choice of `test_groups` of `groups`, which have `bars` // `groups` bars, the last one the rest too.

    `purge` bars are left out of train before and after each tested stretch, `embargo` more after it. Raises `DataError`
    where they would take a whole group.
    """
    size = bars // groups
    if purge + embargo >= size - 1:
        raise DataError(
            f"A group of {size} bars does not survive a purge of {purge} and an embargo of {embargo}; bring more bars "
            "or set `walk_forward.groups` lower."
        )
    edges = [*(size * g for g in range(groups)), bars]
    found = []
    for chosen in combinations(range(groups), test_groups):
        free = np.ones(bars, dtype=bool)
        for g in chosen:
            free[max(0, edges[g] - purge) : edges[g + 1] + purge + embargo] = False
        found.append(Combination(_ranges(free), tuple((edges[g], edges[g + 1]) for g in chosen)))
    return tuple(found)


def paths_of(groups: int, test_groups: int) -> Int:
    """Return `[paths, groups]` which combination tests each group on each path through all bars.

    There are comb(groups, test_groups) test_groups / groups paths; on each every group is tested once.
    """
    testing: list[list[int]] = [[] for _ in range(groups)]
    for index, chosen in enumerate(combinations(range(groups), test_groups)):
        for g in chosen:
            testing[g].append(index)
    out: Int = np.array(testing).T
    assert len(out) * groups == comb(groups, test_groups) * test_groups
    return out


def combinatorial_folds(
    bars: int, groups: int, test_groups: int, gap: int, validation_fraction: float
) -> tuple[Splits, ...]:
    """Return one fold per combination; the last part of what may be trained on chooses the model."""
    folds: list[Splits] = []
    for combination in combinations_of(bars, groups, test_groups, purge=gap, embargo=0):
        left = sum(stop - start for start, stop in combination.train)
        train, validation = _cut(combination.train, int(left * (1.0 - validation_fraction)), gap)
        folds.append(_splits(len(folds) + 1, train, validation, combination.test))
    return tuple(folds)


def _cut(ranges: tuple[Range, ...], first: int, gap: int) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    """Return the first bars of `ranges` without the last `gap` of them, and the rest."""
    before, after = [], []
    for start, stop in ranges:
        middle = min(max(start + first, start), stop)
        first -= stop - start
        if middle > start:
            before.append((start, middle))
        if stop > middle:
            after.append((middle, stop))
    edge = after[0][0] - gap if after else 0
    return tuple((a, min(b, edge)) for a, b in before if min(b, edge) > a), tuple(after)


def _ranges(free: np.ndarray) -> tuple[Range, ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]]).astype(np.int8)))
    return tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _splits(number: int, *blocks: tuple[Range, ...]) -> Splits:
    """Return the splits of fold `number`; segments too short to hold an episode stay, whole splits may not be."""
    for name, ranges in zip(("train", "validation", "test"), blocks, strict=True):
        length = sum(max(0, stop - start) for start, stop in ranges)
        if length < LEAST_BARS:
            raise DataError(
                f"Fold {number} would have {length} {name} bars; at least {LEAST_BARS} are needed. Bring more bars, or "
                "change `walk_forward.folds`, `walk_forward.first_train_fraction` or `environment.warmup_steps`."
            )
    train, validation, test = blocks
    return Splits(Split("train", train), Split("validation", validation), Split("test", test))
