"""The publisher's process: `python -m mtquant.tracking --run RUN [--follow]`.

With `--follow` it publishes every few seconds until standard input ends, then once more, and samples the machine
meanwhile. It never stops training: what fails is said on standard error and tried again; the store keeps what is
pending.
"""

import argparse
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtquant.context import store_root
from mtquant.errors import StoreError
from mtquant.store.runs import append_event
from mtquant.tracking.system import sampling

if TYPE_CHECKING:
    from mtquant.tracking.publisher import Publisher

FIRST_PAUSE, PAUSE, LONGEST_PAUSE = 3.0, 10.0, 120.0
TICK_SECONDS = 5.0
NICENESS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Publish one run and return 0, or 1 where the last pass failed."""
    parser = argparse.ArgumentParser(prog="python -m mtquant.tracking", description="Publish a run to MLflow.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--follow", action="store_true", help="repeat until standard input ends")
    arguments = parser.parse_args(argv)
    root, run = store_root(), str(arguments.run)
    if not arguments.follow:
        return follow(_publishing(root, run), lambda _: True, once=True)
    # Training has the processors first.
    os.nice(NICENESS)
    with sampling(root, run) as sample:

        def ended(seconds: float) -> bool:
            return _ended(seconds, sample)

        ended(FIRST_PAUSE)
        code = follow(_publishing(root, run), ended, once=False)
    append_event(root, run, "tracked", processor_seconds=round(time.process_time(), 2))
    return code


def _publishing(root: Path, run: str) -> Callable[[], object]:
    """Return a function that publishes; its first call imports MLflow, which takes seconds and may fail."""
    made: list[Publisher] = []

    def publish() -> object:
        if not made:
            from mtquant.tracking.publisher import Publisher

            made.append(Publisher(root))
        return made[0].publish(run)

    return publish


def follow(publish: Callable[[], object], ended: Callable[[float], bool], *, once: bool) -> int:
    """Call `publish` until `ended(pause)` says so, then once more; pauses double while it fails."""
    pause, last = PAUSE, once
    while True:
        last = last or ended(0.0)
        ok = _attempt(publish)
        if last:
            return 0 if ok else 1
        pause = PAUSE if ok else min(2 * pause, LONGEST_PAUSE)
        last = ended(pause)


def _attempt(publish: Callable[[], object]) -> bool:
    started = time.monotonic()
    try:
        result = publish()
    except Exception as error:  # noqa: BLE001
        # A tracker can fail in any way; the store is the truth and stays whole.
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        sys.stderr.write(f"not published yet: {type(error).__name__}: {text}\n")
        return False
    sys.stderr.write(f"published in {time.monotonic() - started:.2f} s: {result}\n")
    return True


def _ended(seconds: float, sample: Callable[[], None]) -> bool:
    """Return whether standard input ended, waiting at most `seconds` for that and sampling meanwhile."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            sample()
        except StoreError as error:
            sys.stderr.write(f"not sampled: {error}\n")
        left = give_up - time.monotonic()
        ready, _, _ = select.select([0], [], [], min(max(left, 0.0), TICK_SECONDS))
        if ready and not os.read(0, 1024):
            return True
        if left <= 0.0:
            return False


if __name__ == "__main__":
    sys.exit(main())
