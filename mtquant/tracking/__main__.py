"""The publisher's process: `python -m mtquant.tracking --run RUN [--follow]`.

With `--follow` it publishes every few seconds until standard input ends, then once more. It never
stops training: what fails is said on standard error and tried again; the store keeps what is pending.
"""

import argparse
import os
import select
import sys
import time
from collections.abc import Callable, Sequence

from mtquant.context import store_root

FIRST_PAUSE, PAUSE, LONGEST_PAUSE = 3.0, 10.0, 120.0
NICENESS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Publish one run and return 0, or 1 where the last pass failed."""
    parser = argparse.ArgumentParser(prog="python -m mtquant.tracking", description="Publish a run to MLflow.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--follow", action="store_true", help="repeat until standard input ends")
    arguments = parser.parse_args(argv)
    if arguments.follow:
        # Training has the processors first.
        os.nice(NICENESS)
        _ended(FIRST_PAUSE)
    # Importing MLflow takes seconds and may itself fail; both belong to the first pass.
    from mtquant.tracking.publisher import Publisher

    publisher = Publisher(store_root())
    return follow(lambda: publisher.publish(arguments.run), _ended, once=not arguments.follow)


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


def _ended(seconds: float) -> bool:
    """Return whether standard input ended, waiting at most `seconds` for that."""
    ready, _, _ = select.select([0], [], [], seconds)
    return bool(ready) and not os.read(0, 1024)


if __name__ == "__main__":
    sys.exit(main())
