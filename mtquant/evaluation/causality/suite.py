"""`leak_suite`: every planted leak has to be found, and no clean pipeline may be blamed."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtquant.evaluation.causality.perturbation import random_walk
from mtquant.evaluation.causality.pipelines import CLEAN, trained_until
from mtquant.evaluation.causality.planted_leaks import LEAKS
from mtquant.evaluation.causality.search import USUAL, EnvFactory, Leak, Search, find_leak


@dataclass(frozen=True)
class LeakTrial:
    """One pipeline with what was found in it."""

    name: str
    about: str
    expected: tuple[str, ...]
    """Checks that may find the leak; empty where there is none to find."""
    found: Leak | None

    @property
    def passed(self) -> bool:
        """Whether the leak was found by the check that is meant for it, or nothing where nothing is."""
        return self.found.check in self.expected if self.found else not self.expected


def leak_suite(search: Search = USUAL) -> tuple[LeakTrial, ...]:
    """Return every planted leak and every clean pipeline with what the search found."""
    planted = [_tried(name, leak.about, leak.checks, leak.factory, search) for name, leak in LEAKS.items()]
    clean = [_tried(f"clean: {name}", about, (), factory, search) for name, (factory, about) in CLEAN.items()]
    return (*planted, *clean)


def _tried(name: str, about: str, expected: tuple[str, ...], factory: EnvFactory, search: Search) -> LeakTrial:
    market = random_walk(search.streams)
    found = find_leak(factory, market, fitted_until=trained_until(market), search=search)
    return LeakTrial(name, about, expected, found)


def suite_table(trials: Sequence[LeakTrial]) -> str:
    """Return the trials as aligned text, what went wrong marked."""
    rows = [("pipeline", "found by", "verdict", "what it is", "where")]
    for trial in trials:
        found = trial.found
        good = "found" if trial.expected else "clean"
        verdict = good if trial.passed else "NOT FOUND" if found is None else "WRONGLY BLAMED"
        where = f"{found.what}{f', {found.entry}' if found.entry else ''}, {found.perturbation}" if found else ""
        rows.append((trial.name, found.check if found else "-", verdict, trial.about, where))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
