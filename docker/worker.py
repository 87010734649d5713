"""Run a Prefect worker that lets its flow runs end: `python docker/worker.py COMMAND...`.

A worker that gets SIGTERM kills its flow runs at once, and with it ends the container, with the units inside. So the
flow runs are stopped first, as cancelling does it: their units write checkpoints. Whoever stops the container sets
the limit to how long that may take.
"""

import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

POLL_SECONDS = 0.5


def flow_runs(worker: int) -> list[psutil.Process]:
    """Return the processes in which the worker's flow runs are."""
    try:
        return psutil.Process(worker).children()
    except psutil.NoSuchProcess:
        return []


def drain(worker: "subprocess.Popen[bytes]") -> None:
    """Stop the worker's flow runs, those too that it still starts meanwhile, then the worker."""
    asked: set[psutil.Process] = set()
    while running := flow_runs(worker.pid):
        for process in set(running) - asked:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            asked.add(process)
        psutil.wait_procs(running, timeout=POLL_SECONDS)
    worker.terminate()


def main(command: list[str]) -> int:
    """Run the worker until it ends or this process is asked to stop; returns the worker's exit code."""
    stop = threading.Event()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # In a session of its own: Ctrl-C is for this process.
    worker = subprocess.Popen(command, start_new_session=True)
    while worker.poll() is None and not stop.wait(POLL_SECONDS):
        pass
    if worker.poll() is None:
        drain(worker)
    return worker.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
