"""Names of units in the folds of a walk-forward: `phase1-forex.fold2`."""

from collections.abc import Sequence

FOLD = ".fold"


def fold_name(name: str, fold: int | None) -> str:
    """Return the name of a unit, or of an input, in a fold; without a fold the name itself."""
    return name if fold is None else f"{name}{FOLD}{fold}"


def fold_of(name: str) -> int | None:
    """Return the number of the fold that a unit belongs to, or None."""
    number = name.partition(FOLD)[2]
    return int(number) if number else None


def names_in_fold(upstream: Sequence[str]) -> dict[str, str]:
    """Return what a unit calls those it reads: without their fold where all of them are of one."""
    single = len({fold_of(name) for name in upstream}) == 1
    return {name: name.partition(FOLD)[0] if single else name for name in upstream}
