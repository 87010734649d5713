"""A bar per unit that is at work, moved from the unit's journal; Prefect keeps one artifact each."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import cast
from uuid import UUID

from httpx import HTTPError
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from mtquant.errors import StoreError
from mtquant.store.journal import headline
from mtquant.store.status import UnitStatus, unit_status
from mtquant.store.units import Unit

LOGGER = logging.getLogger("mtquant.flow")
SECONDS = 5.0


@contextmanager
def only_shown(what: str) -> Iterator[None]:
    """Go on without `what` where it cannot be shown, and say so in the log: Prefect shows training, no more."""
    try:
        # By default Prefect tries for a minute, each time.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
            yield
    except (HTTPError, OSError, StoreError) as error:
        LOGGER.warning("Prefect does not show %s: %s: %s", what, type(error).__name__, error)


class ProgressBars:
    """Moves the bars of all units at work, each at most every `seconds`."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._bars: dict[str, _Bar] = {}

    @contextmanager
    def of(self, unit: Unit) -> Iterator[None]:
        """Show a bar while inside; called in the unit's task, to which it belongs."""
        name = unit.spec.name
        with only_shown(f"the bar of {name}"):
            self._bars[name] = _Bar(unit)
        try:
            yield
        finally:
            bar = self._bars.pop(name, None)
            if bar is not None:
                bar.move(last=True)

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Keep the bars moving while inside."""
        end = threading.Event()
        thread = threading.Thread(target=copy_context().run, args=(self._move_until, end), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _move_until(self, end: threading.Event) -> None:
        while not end.wait(self.seconds):
            for bar in list(self._bars.values()):
                bar.move()


class _Bar:
    """One artifact, updated in place."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._guard = threading.Lock()
        self._over = False
        status = unit_status(unit)
        name = f"progress-{unit.spec.name}"
        self._artifact = cast("UUID", create_progress_artifact(percent(status), name, sentence(unit, status)))

    def move(self, *, last: bool = False) -> None:
        """Show where the unit is; nothing comes after the last position."""
        with self._guard, only_shown(f"the bar of {self._unit.spec.name}"):
            if self._over:
                return
            self._over = last
            status = unit_status(self._unit)
            update_progress_artifact(self._artifact, percent(status), sentence(self._unit, status))


def percent(status: UnitStatus) -> float:
    """Return how much of its steps a unit has done."""
    return round(min(100.0, 100.0 * status.step / status.total_steps), 1)


def sentence(unit: Unit, status: UnitStatus) -> str:
    """Return where a unit is, in words."""
    last = unit.journal.last()
    score = headline(last.metrics) if last else None
    parts = [
        f"{unit.spec.name}: {status.state}, step {status.step:,} of {status.total_steps:,}",
        f"{score[0]} {score[1]:.4g}" if score else "",
        f"checkpoint at {status.checkpoint:,}" if status.checkpoint else "",
        f"attempt {status.attempts}" if status.attempts > 1 else "",
    ]
    return "; ".join(part for part in parts if part)
