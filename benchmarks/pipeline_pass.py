"""One pass through all units with little training: peak memory, processor time and what tracking costs."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import Cell, Figure, Section
from mtquant.config.load import load_pipeline
from mtquant.context import STORE_VARIABLE
from mtquant.errors import TrainingError
from mtquant.execution.numerics import thread_variables
from mtquant.execution.preparation import prepare_run, record_run

LITTLE = (
    "phase1.timesteps=20_000",
    "phase2.timesteps=5_000",
    "phase3.timesteps=20_000",
    "phase3.critic_warmup_rollouts=1",
    "evaluation.bootstrap_samples=100",
)
"""Few steps and resamples, but rows, batches, data and evaluation paths of the default profile: memory as in full."""


POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Usage:
    """What one process used."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def measure_pass(settings: Sequence[str] = LITTLE) -> Section:
    """Return what each unit's process uses, one after the other, and what publishing the run to MLflow does."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = prepare_run(root, record_run(root, load_pipeline("default", None, settings), ["benchmark"], "direct"))
        run_id = run.record.run_id
        used = {
            unit.name: usage(root, ["-m", "mtquant.execution.unit", "--run", run_id, "--unit", unit.name])
            for unit in run.units
        }
        used["tracking (MLflow)"] = usage(root, ["-m", "mtquant.tracking", "--run", run_id])
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, one.peak_mib, one.wall_seconds, one.cpu_seconds) for name, one in used.items()
    )
    figures = tuple(
        figure
        for name, one in used.items()
        for figure in (
            Figure("peak-memory", (one.peak_mib,), "MiB", None, {"process": name}),
            Figure("process-cpu", (one.cpu_seconds,), "s", None, {"process": name}),
        )
    )
    note = (
        "Processes of a run with the default data and batches but few steps, so that seconds are mostly start-up and "
        "evaluation; memory does not depend on the steps. Tracking runs beside training, at low priority."
    )
    return Section("Memory and time by process", ("process", "peak MiB", "wall, s", "CPU, s"), rows, figures, note)


def usage(root: Path, arguments: Sequence[str]) -> Usage:
    """Run one Python process over a store and return what it used. Raises `TrainingError` where it fails."""
    environment = os.environ | thread_variables(1) | {STORE_VARIABLE: str(root)}
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        peak, ended = 0.0, 0
        while not ended:
            peak = max(peak, _peak_mib(child.pid))
            # Not `child.poll`: only wait4 tells what this very process used.
            ended, status, found = os.wait4(child.pid, os.WNOHANG)
            time.sleep(0.0 if ended else POLL_SECONDS)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            tail = said.read().decode(errors="replace").strip().splitlines()[-5:]
            raise TrainingError(f"`{' '.join(arguments)}` ended with {child.returncode}: {' | '.join(tail)}")
    # Without /proc the operating system's figure has to do; there it counts bytes.
    return Usage(time.perf_counter() - started, found.ru_utime + found.ru_stime, peak or found.ru_maxrss / 1024.0**2)


def _peak_mib(pid: int) -> float:
    """Return the most memory a process has held so far; 0 where that is not known.

    `ru_maxrss` would not do: on Linux a child begins with what its parent held when it was started.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024.0 for line in lines if line.startswith("VmHWM")), 0.0)
