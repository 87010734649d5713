"""Trains what gates need, measures, judges and writes the results."""

import json
import math
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from mtquant.evaluation.statistics import Interval
from mtquant.gates.desks import DeskTraining, finish_desk
from mtquant.gates.execution import finish_execution
from mtquant.gates.gate import RULES, AnyTraining, Gate
from mtquant.gates.teams import TeamTraining, finish_team
from mtquant.gates.trainings import Training, train
from mtquant.store.files import make_folder, write_atomic


class Finished(Protocol):
    """What a training leaves: where its results are and what they depend on."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its units."""

    @property
    def config_digest(self) -> str:
        """Digest of the settings without the seed."""


Trainer = Callable[[AnyTraining, int], Finished]
Say = Callable[[str], None]
Needed = tuple[AnyTraining, int]
"""A training with its seed."""


@dataclass(frozen=True)
class GateResult:
    """A gate with what was found."""

    gate: Gate
    found: tuple[Interval, ...]
    """One per seed."""
    commit: str
    config_digest: str
    unit_keys: tuple[str, ...]

    @property
    def value(self) -> float:
        """Median of the seeds."""
        return float(np.median([one.value for one in self.found]))

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest lower and highest upper end of the seeds' intervals."""
        return float(np.min([one.low for one in self.found])), float(np.max([one.high for one in self.found]))

    @property
    def passed(self) -> bool:
        """Whether the claim holds."""
        return RULES[self.gate.rule](self.found, self.gate.threshold)

    def values(self) -> dict[str, Any]:
        """Return the entry of `gates.json`; NaN is null."""
        return {
            "gate": self.gate.name,
            "value": _number(self.value),
            "interval": [_number(end) for end in self.interval],
            "threshold": self.gate.threshold,
            "passed": self.passed,
            "seeds": list(self.gate.seeds),
            "commit": self.commit,
            "config_digest": self.config_digest,
            "unit_keys": list(self.unit_keys),
            "claim": self.gate.claim,
            "rule": self.gate.rule.value,
            "by_seed": [[_number(n) for n in (one.value, one.low, one.high)] for one in self.found],
        }


_IN_THIS_PROCESS = Lock()


def finish(root: Path, training: AnyTraining, seed: int) -> Finished:
    """Train with `seed` in the store `root`; what is complete there is reused."""
    if isinstance(training, Training):
        return train(root, training, seed)
    # The others train in this process, and torch has one generator.
    with _IN_THIS_PROCESS:
        if isinstance(training, TeamTraining):
            return finish_team(root, training, seed)
        if isinstance(training, DeskTraining):
            return finish_desk(root, training, seed)
        return finish_execution(root, training, seed)


def run_gates(gates: Sequence[Gate], trainer: Trainer, say: Say, jobs: int = 1) -> list[GateResult]:
    """Return the results of `gates`; equal trainings are done once, `jobs` at a time. Raises what training raises."""
    commit = current_commit()
    needed: dict[Needed, str] = {}
    for gate in gates:
        for seed in gate.seeds:
            needed.setdefault((gate.training, seed), gate.name)
    results = []
    with training_ahead(needed, trainer, say, jobs) as finished:
        # Gates of one training lie together, and measure one run after the other: what they share is made once.
        for training, group in groupby(gates, key=lambda gate: gate.training):
            members = list(group)
            runs = {seed: finished[training, seed].result() for gate in members for seed in gate.seeds}
            for result in _judged(members, commit, runs):
                results.append(result)
                say(sentence(result))
    return results


def _judged(gates: Sequence[Gate], commit: str, runs: Mapping[int, Finished]) -> Iterator[GateResult]:
    """Yield the results of gates on the same training, whose `runs` are by seed."""
    found: dict[str, list[Interval]] = {gate.name: [] for gate in gates}
    for seed, run in runs.items():
        for gate in gates:
            if seed in gate.seeds:
                found[gate.name].append(gate.measure(run))
    for gate in gates:
        mine = [runs[seed] for seed in gate.seeds]
        keys = tuple(sorted({key for run in mine for key in run.keys}))
        yield GateResult(gate, tuple(found[gate.name]), commit, mine[0].config_digest, keys)


@contextmanager
def training_ahead(
    needed: Mapping[Needed, str], trainer: Trainer, say: Say, jobs: int
) -> Iterator[Mapping[Needed, "Future[Finished]"]]:
    """Start all trainings in order, `jobs` at a time; yields what each will leave.

    `needed` maps training and seed to what it is for. Leaving with an error keeps what has not begun from beginning.
    """

    def finish(key: Needed, purpose: str) -> Finished:
        training, seed = key
        say(f"{purpose}: training, seed {seed}")
        return trainer(training, seed)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield {key: pool.submit(finish, key, purpose) for key, purpose in needed.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_results(results: Sequence[GateResult], path: Path) -> None:
    """Write `gates.json` atomically: a list with one entry per gate."""
    make_folder(path.parent)
    content = json.dumps([result.values() for result in results], indent=1, allow_nan=False) + "\n"
    write_atomic(path, content.encode())


def sentence(result: GateResult) -> str:
    """Return one line for people."""
    low, high = result.interval
    verdict = "met" if result.passed else "NOT MET"
    gate = result.gate
    return f"{gate.name}: {result.value:.3f} ({low:.3f} to {high:.3f}), {gate.rule} {gate.threshold:g}: {verdict}"


def table(results: Sequence[GateResult]) -> str:
    """Return all results as aligned text, failed gates marked."""
    head = ("gate", "value", "interval", "threshold", "seeds", "verdict", "claim")
    rows = [head]
    for result in results:
        low, high = result.interval
        gate = result.gate
        verdict = "met" if result.passed else "NOT MET"
        interval = f"{low:.3f} to {high:.3f}"
        seeds = str(len(gate.seeds))
        rows.append((gate.name, f"{result.value:.3f}", interval, f"{gate.threshold:g}", seeds, verdict, gate.claim))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def current_commit() -> str:
    """Return the commit of the working folder, with `+` where files differ from it; empty outside a repository."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
