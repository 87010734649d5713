"""What checkpoints, hash chain, journal and tracking cost beside training."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.markets import Setting, embedded
from benchmarks.records import Cell, Figure, Section
from benchmarks.training import learner, specialist_rows
from mtquant.agents.learning.algorithms import rollouts_of
from mtquant.agents.training.callbacks import UnitCallback
from mtquant.config.load import load_pipeline
from mtquant.context import Streams
from mtquant.errors import TrainingError
from mtquant.execution.direct import run_direct
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.supervisor import Supervisor
from mtquant.execution.unit import PROCESS_ENDED
from mtquant.store.runs import read_events
from mtquant.store.units import Unit, UnitHandle, UnitSpec
from mtquant.tracking.background import publishing

TIMESTEPS, PAIRS = 500_000, 3
AIM = 0.97
"""Share of the processor time that is left to training: checkpoints and tracking may cost 3 %."""
TRACKED = "tracked"
"""Event with which the publisher tells what it used."""
PHASES = ("phase3-joint", "phase3-no-peers")


def measure_overhead(timesteps: int = TIMESTEPS, pairs: int = PAIRS, profile: str = "default") -> Section:
    """Return the processor time of training with and without checkpoints, and that of tracking a whole run."""
    setting = embedded()
    with_unit, alone = [], []
    for _ in range(pairs):
        alone.append(_train(setting, timesteps, None))
        with _unit(setting.spec.checkpoint_seconds) as handle:
            with_unit.append(_train(setting, timesteps, UnitCallback(handle)))
    ratios = tuple(a / b for a, b in zip(with_unit, alone, strict=True))
    training, tracking = _run(profile)
    shares = tuple(1.0 / (ratio + tracking / training) for ratio in ratios)
    rows: tuple[tuple[Cell, ...], ...] = (
        ("training alone", min(alone), ""),
        ("training as a unit (journal, hash chain, checkpoints)", min(with_unit), f"{min(ratios) - 1:+.1%}"),
        (f"all trained units of a `{profile}` run", training, ""),
        ("tracking that run beside it", tracking, f"{tracking / training:+.1%}"),
        ("share left to training", sorted(shares)[len(shares) // 2], ""),
    )
    figures = (
        Figure("overhead-unit", ratios, "ratio", None, {"steps": timesteps}),
        Figure("overhead-tracking", (tracking / training,), "ratio", None, {"profile": profile}),
        Figure("training-share", shares, "share", AIM, {"profile": profile}),
    )
    note = (
        f"Processor time. The first two rows are the least of {pairs} pairs of {timesteps:,} steps, one after the other; "
        "the percentage is that of the best pair. Tracking is a process of its own at low priority."
    )
    return Section("What exact resume and tracking cost", ("what", "CPU, s", "more"), rows, figures, note)


def _train(setting: Setting, timesteps: int, callback: BaseCallback | None) -> float:
    ppo = setting.spec.phase1.ppo
    model = learner(setting, specialist_rows(setting, ppo), ppo, timesteps)
    total = rollouts_of(timesteps, ppo) * ppo.n_envs * ppo.n_steps
    started = time.process_time()
    model.learn(total, callback=callback)
    return time.process_time() - started


@contextmanager
def _unit(checkpoint_seconds: float) -> Iterator[UnitHandle]:
    """Yield the handle of a unit in a store that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        unit = Unit(Path(folder), UnitSpec("phase1-forex", "phase1", "forex", {"kind": "phase1"}, (), TIMESTEPS))
        with unit.lock():
            yield UnitHandle(unit, Streams(0), unit.begin_attempt(), checkpoint_seconds)


def _run(profile: str) -> tuple[float, float]:
    """Train all phases of a profile with tracking beside them; return the processor time of both."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        spec = load_pipeline(profile, None, [])
        run = prepare_run(root, record_run(root, spec, ["benchmark"], "direct", PHASES))
        run_id = run.record.run_id
        with publishing(root, run_id):
            run_direct(Supervisor(root, run_id), run.units)
        events = read_events(root, run_id)
    units = [event for event in events if event["event"] == PROCESS_ENDED]
    tracked = [event for event in events if event["event"] == TRACKED]
    if len(units) != len(run.units) or len(tracked) != 1:
        raise TrainingError(f"The run told of {len(units)} units of {len(run.units)} and {len(tracked)} publishers.")
    return _sum(units), _sum(tracked)


def _sum(events: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(event["processor_seconds"] for event in events))
