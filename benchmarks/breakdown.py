"""Where the time of a training run goes: rollout, update, journal, checkpoint."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stable_baselines3.common.callbacks import CallbackList

from benchmarks.markets import Setting, embedded
from benchmarks.records import Cell, Figure, Section
from benchmarks.training import Clock, learner, specialist_rows
from mtquant.agents.learning.algorithms import rollouts_of
from mtquant.agents.training.callbacks import UnitCallback
from mtquant.context import Streams
from mtquant.store.chain import Link
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import Unit, UnitHandle, UnitSpec

TIMESTEPS = 250_000


class TimedHandle(UnitHandle):
    """A unit's handle that adds up what its journal and its checkpoints cost."""

    journal_seconds = 0.0
    chain_seconds = 0.0

    def __init__(self, unit: Unit, checkpoint_seconds: float) -> None:
        super().__init__(unit, Streams(0), 1, checkpoint_seconds)
        self.checkpoints: list[float] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append to the journal."""
        started = time.perf_counter()
        super().log(step, metrics)
        self.journal_seconds += time.perf_counter() - started

    def link(self, step: int, snapshot: Snapshot) -> Link:
        """Add to the hash chain."""
        started = time.perf_counter()
        found = super().link(step, snapshot)
        self.chain_seconds += time.perf_counter() - started
        return found

    def save_checkpoint(self, step: int, snapshot: Snapshot, metrics: Mapping[str, float] | None = None) -> None:
        """Write a checkpoint."""
        started = time.perf_counter()
        super().save_checkpoint(step, snapshot, metrics)
        self.checkpoints.append(time.perf_counter() - started)


@contextmanager
def timed_unit(checkpoint_seconds: float) -> Iterator[TimedHandle]:
    """Yield the handle of a unit in a store that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = {"kind": "phase1", "subject": "forex"}
        unit = Unit(Path(folder), UnitSpec("phase1-forex", "phase1", "forex", inputs, (), TIMESTEPS))
        with unit.lock():
            unit.begin_attempt()
            yield TimedHandle(unit, checkpoint_seconds)


def measure_breakdown(timesteps: int = TIMESTEPS) -> Section:
    """Return seconds of each part of a specialist's training as a unit, and what checkpoints cost by default.

    A checkpoint is written at every rollout here, so that one can be timed; the share is that of one every
    `checkpoint_seconds`.
    """
    setting = embedded()
    ppo = setting.spec.phase1.ppo
    env = specialist_rows(setting, ppo)
    clock = Clock()
    with timed_unit(checkpoint_seconds=0.0) as handle:
        model = learner(setting, env, ppo, timesteps)
        total = rollouts_of(timesteps, ppo) * ppo.n_envs * ppo.n_steps
        started = time.perf_counter()
        model.learn(total, callback=CallbackList([UnitCallback(handle), clock]))
        wall = time.perf_counter() - started
    return _section(setting, total, wall, clock, handle)


def _section(setting: Setting, steps: int, wall: float, clock: Clock, handle: TimedHandle) -> Section:
    saved = sum(handle.checkpoints)
    each = saved / max(len(handle.checkpoints), 1)
    every = setting.spec.checkpoint_seconds
    rollout = sum(clock.rollouts)
    update = sum(clock.updates) - saved - handle.journal_seconds - handle.chain_seconds
    training = wall - saved
    spent = {
        "rollout": rollout,
        "update": update,
        "journal": handle.journal_seconds,
        "hash chain": handle.chain_seconds,
        "rest (set-up, finite check)": training - rollout - update - handle.journal_seconds - handle.chain_seconds,
    }
    rows: list[tuple[Cell, ...]] = [(name, seconds, f"{seconds / training:.1%}") for name, seconds in spent.items()]
    share = each / (every + each)
    rows.append((f"checkpoint, one every {every:g} s", each, f"{share:.1%}"))
    figures = [
        Figure("breakdown", (seconds / training,), "share", None, {"part": name, "steps": steps})
        for name, seconds in spent.items()
    ]
    figures.append(Figure("checkpoint", tuple(handle.checkpoints), "s", None, {"every_seconds": every}))
    note = f"One specialist, {steps:,} steps in {training:.2f} s ({steps / training:,.0f} steps/s), one thread."
    return Section("Where the time of phase 1 goes", ("part", "seconds", "share"), tuple(rows), tuple(figures), note)
