"""A publisher beside a run: its own process, so that MLflow can neither slow nor stop training."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtquant.context import STORE_VARIABLE
from mtquant.store.runs import append_event, run_folder

LOG = "tracking.log"
PATIENCE_SECONDS = 90.0


class BackgroundPublisher:
    """The process; `finish` lets it publish once more and waits for that."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.root, self.run_id = root.absolute(), run_id
        self.log = run_folder(root, run_id) / LOG
        self.current: bool | None = None
        """Whether everything was published at the end; None while it runs."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mtquant.tracking", "--run", run_id, "--follow"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {STORE_VARIABLE: str(self.root)},
                # Ctrl-C is for the trainers; this process ends after them.
                start_new_session=True,
            )

    def finish(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Return whether everything was published; gives up after `seconds`, `mtquant sync` does it later."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self.current = self._process.wait(timeout=seconds) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self.current = False
        append_event(self.root, self.run_id, "published", complete=self.current)
        return self.current


@contextmanager
def publishing(root: Path, run_id: str) -> Iterator[BackgroundPublisher]:
    """Publish a run while inside, and once more on the way out."""
    publisher = BackgroundPublisher(root, run_id)
    try:
        yield publisher
    finally:
        publisher.finish()
