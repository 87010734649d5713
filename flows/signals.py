"""Stops reach the units: signals, a second signal, the death of the process that started the flow."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mtquant.errors import Preempted
from mtquant.execution.supervisor import Supervisor

STOPS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def forwarding_stops(supervisor: Supervisor) -> Iterator[None]:
    """Pass SIGTERM and Ctrl-C on to the units while inside; a second one ends them at once.

    Prefect has its own SIGTERM handler, which raises in the main thread while the threads that supervise
    units wait on. The kernel's wake-up pipe gets every signal beside that handler. Only the main thread
    may set it; a flow that runs elsewhere is stopped by whoever runs it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=_forward, args=(reading, supervisor), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        # Closing the writing end is the thread's end of file.
        os.close(writing)


def _forward(reading: int, supervisor: Supervisor) -> None:
    stops = 0
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while received := pipe.read(64):
            for number in received:
                if number in STOPS:
                    stops += 1
                    (supervisor.kill if stops > 1 else supervisor.stop)()


@contextmanager
def raising_early_stops() -> Iterator[None]:
    """Turn SIGTERM into `Preempted` where nothing else handles it: before and after the flow itself."""

    def on_signal(number: int, _: FrameType | None) -> None:
        raise Preempted(f"Stopped by signal {number} while no unit ran; nothing was lost. `mtquant resume` continues.")

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stopping_without_parent(supervisor: Supervisor) -> None:
    """Stop the units when standard input ends: the process that started this one is gone."""

    def watch() -> None:
        try:
            while os.read(0, 1024):
                pass
        except OSError:
            pass
        supervisor.stop()

    threading.Thread(target=watch, daemon=True).start()
