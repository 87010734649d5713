"""A unit that is trained by itself, without a run around it: what is finished is reused, what was begun continues."""

import time
from collections.abc import Callable

from mtquant.context import Streams
from mtquant.errors import StoreError
from mtquant.store.units import Done, Unit, UnitHandle, UnitResult


def complete(unit: Unit, seed: int, checkpoint_seconds: float, work: Callable[[UnitHandle], UnitResult]) -> Done:
    """Bring `unit` to its end in this process and return its marker; one that is complete is left alone.

    Raises `LockedError` where another process holds it, and what `work` raises; then its last checkpoint stays.
    """
    with unit.lock():
        if unit.verify() is None:
            started = time.monotonic()
            result = work(UnitHandle(unit, Streams(seed), unit.begin_attempt(), checkpoint_seconds))
            unit.finish(result.metrics, result.outputs, wall_seconds=time.monotonic() - started)
        done = unit.done()
    if done is None:
        raise StoreError(f"{unit.folder} has no marker of completion though its work ended; train it again.")
    return done
