"""What the machine is doing while a run is at work: a few samples a minute, in the store like every other number."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mtquant.errors import LockedError
from mtquant.store.journal import Journal
from mtquant.store.locks import locked
from mtquant.store.runs import run_folder

SYSTEM, LOCK = "system.jsonl", "system.lock"
SAMPLE_SECONDS = 20.0
MEGABYTE = 1e6


def system_journal(root: Path, run_id: str) -> Journal:
    """Return the samples of a run; their steps count them, through all interruptions."""
    return Journal(run_folder(root, run_id) / SYSTEM)


@contextmanager
def sampling(root: Path, run_id: str, now: Callable[[], float] = time.monotonic) -> Iterator[Callable[[], None]]:
    """Yield a function that adds a sample when one is due; it does nothing where another process samples the run."""
    try:
        with locked(run_folder(root, run_id) / LOCK, f"The sampling of run {run_id}"):
            yield _Sampler(root, run_id, now).sample
    except LockedError:
        yield lambda: None


class _Sampler:
    def __init__(self, root: Path, run_id: str, now: Callable[[], float]) -> None:
        self.root = root
        self.journal = system_journal(root, run_id)
        lines, whole = self.journal.read_from(0)
        # A line that a kill tore would spoil the next one.
        self.journal.truncate_to(whole)
        self.step = lines[-1].step if lines else 0
        self._now = now
        self._last = now()
        # The first call has nothing to compare with.
        psutil.cpu_percent()

    def sample(self) -> None:
        """Add a line if the last one is `SAMPLE_SECONDS` old."""
        if self._now() - self._last < SAMPLE_SECONDS:
            return
        self._last = self._now()
        self.step += 1
        self.journal.append(self.step, measured(self.root))


def measured(root: Path) -> dict[str, float]:
    """Return load, memory and disk of this machine, under the names MLflow uses for them."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(root))
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": (memory.total - memory.available) / MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
        "system/disk_usage_percentage": disk.percent,
        "system/disk_available_megabytes": disk.free / MEGABYTE,
    }
