"""The wish to stop: signals, and the death of the process that started this one."""

import ctypes
import os
import signal
import threading
from types import FrameType

from mtquant.errors import Preempted

PR_SET_PDEATHSIG = 1


class StopFlag:
    """Set by SIGTERM, SIGINT or the end of standard input; work asks at its boundaries.

    A second SIGINT interrupts at once (`KeyboardInterrupt`); checkpoints written before stay valid.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._at_once = False

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask to stop."""
        self._event.set()

    def interrupt(self) -> None:
        """From now on raise `Preempted` in the main thread instead of waiting: this work has no boundaries."""
        self._at_once = True
        if self():
            self._raise()

    @staticmethod
    def _raise() -> None:
        raise Preempted("Stopped; nothing of this unit was kept, it is made again from its inputs.")

    def listen(self, *, to_parent: bool) -> None:
        """Install the signal handlers; with `to_parent`, also stop when the parent process dies.

        The parent holds the other end of standard input, which the kernel closes even on kill -9.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        if to_parent:
            _ask_for_signal_of_death()
            threading.Thread(target=self._watch_input, daemon=True).start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self():
            raise KeyboardInterrupt
        self.set()
        if self._at_once:
            self._raise()

    def _watch_input(self) -> None:
        try:
            while os.read(0, 1024):
                pass
        except OSError:
            pass
        # Through the handler, which runs in the main thread.
        os.kill(os.getpid(), signal.SIGTERM)


def _ask_for_signal_of_death() -> None:
    """Have the kernel send SIGTERM when the parent dies; Linux only, elsewhere standard input does it alone."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
