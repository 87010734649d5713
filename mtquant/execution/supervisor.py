"""Starts unit processes, waits for them, passes stop requests on and repeats what may succeed next time."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.context import STORE_VARIABLE
from mtquant.errors import LockedError, Preempted, StoreError
from mtquant.execution.numerics import thread_variables, threads
from mtquant.store.files import guarded
from mtquant.store.runs import append_event, load_run, unit_of_run
from mtquant.store.units import Unit

COMMAND = (sys.executable, "-m", "mtquant.execution.unit")
LOCK_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How a unit ended for now."""

    name: str
    state: str
    """`reused`, `done`, `stopped`, `failed` or `skipped` (something it reads did not finish)."""
    exit_code: int = 0
    message: str = ""
    attempts: int = 0


class Supervisor:
    """Runs units of one run as child processes; `run` may be called from several threads.

    A child that dies by a signal, runs out of memory or is refused a system call is started again from its
    checkpoint, `retries` times in a row without progress, after waits that double. Settings, data and
    diverged training are not tried again. Success is only what left a valid DONE.json. With `wait_for_locks` a
    unit that another run is making is waited for instead of failing. Without `restart` a unit whose checkpoints
    are all damaged fails instead of starting from step 0.
    """

    def __init__(
        self,
        root: Path,
        run_id: str,
        *,
        command: Sequence[str] = COMMAND,
        retries: int = 2,
        backoff_seconds: float = 10.0,
        log_dir: Path | None = None,
        wait_for_locks: bool = False,
        restart: bool = True,
    ) -> None:
        self.root = root.absolute()
        self.run_id = run_id
        self.command = tuple(command)
        self.retries = retries
        self.backoff_seconds = backoff_seconds
        self.log_dir = log_dir
        self.wait_for_locks = wait_for_locks
        self.restart = restart
        self._children: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask all children to checkpoint and end, and start no more."""
        self._stopping.set()
        with self._guard:
            for child in self._children:
                child.terminate()

    def kill(self) -> None:
        """End all children at once; their checkpoints stay valid."""
        self._stopping.set()
        with self._guard:
            for child in self._children:
                child.kill()

    def environment(self) -> dict[str, str]:
        """Return the environment of a child: this store, and few threads."""
        return os.environ | thread_variables(threads()) | {STORE_VARIABLE: str(self.root)}

    def run(self, name: str) -> Outcome:
        """Bring one unit to its end and return how that went; raises nothing a unit did."""
        unit = unit_of_run(self.root, load_run(self.root, self.run_id), name)
        if _is_done(unit):
            return self._ended(Outcome(name, "reused", 0, "", unit.attempts()))
        failures, wait = 0, self.backoff_seconds
        while True:
            before = unit.checkpoints.newest_step()
            code, report = self._one(name, unit)
            if code == LockedError.exit_code and self.wait_for_locks and not self._stopping.wait(LOCK_POLL_SECONDS):
                continue
            outcome = self._judge(name, unit, code, report)
            transient = outcome.state == "failed" and (code < 0 or bool(report.get("transient")))
            progressed = unit.checkpoints.newest_step() != before
            failures = 0 if progressed else failures + 1
            if not transient or failures > self.retries:
                return self._ended(outcome)
            append_event(self.root, self.run_id, "retry", unit=name, message=outcome.message)
            wait = self.backoff_seconds if progressed else wait * 2
            self._stopping.wait(wait)

    def _one(self, name: str, unit: Unit) -> tuple[int, dict[str, Any]]:
        """Start one process, wait for it, and return its exit code and its report."""
        arguments = [*self.command, "--run", self.run_id, "--unit", name, "--supervised"]
        arguments += ["--log-dir", str(self.log_dir)] if self.log_dir else []
        arguments += [] if self.restart else ["--no-restart"]
        with guarded(unit.folder, "open the log in"):
            log = (unit.folder / "unit.log").open("ab")
        with log:
            child = self._start(arguments, log)
            if child is None:
                return Preempted.exit_code, {"message": f"Stopped before {name} began."}
            append_event(self.root, self.run_id, "unit-started", unit=name, pid=child.pid)
            assert child.stdout is not None
            assert child.stdin is not None
            # Its standard input stays open as long as this process lives: that is how it knows.
            with child.stdin, child.stdout:
                text = child.stdout.read()
                code = child.wait()
            with self._guard:
                self._children.discard(child)
        return code, _report(text)

    def _start(self, arguments: list[str], log: Any) -> "subprocess.Popen[bytes] | None":
        with self._guard:
            if self.stopping:
                return None
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment(),
                # Ctrl-C reaches the parent alone, which passes it on once.
                start_new_session=True,
            )
            self._children.add(child)
            return child

    def _judge(self, name: str, unit: Unit, code: int, report: dict[str, Any]) -> Outcome:
        attempts = unit.attempts()
        message = str(report.get("message", ""))
        if code == 0:
            if _is_done(unit):
                return Outcome(name, "done", 0, "", attempts)
            return Outcome(name, "failed", 1, "its process reported success without a valid DONE.json", attempts)
        if code == Preempted.exit_code or (code < 0 and self.stopping):
            return Outcome(name, "stopped", Preempted.exit_code, message or "ended before a clean stop", attempts)
        if code < 0:
            message = (
                f"its process was ended by signal {-code}; where nobody sent signal 9, memory ran out and "
                f"`--workers 1` needs less. The last checkpoint is kept; see {unit.folder / 'unit.log'}"
            )
            return Outcome(name, "failed", 1, message, attempts)
        return Outcome(name, "failed", code, message or f"exit code {code}; see {unit.folder / 'unit.log'}", attempts)

    def _ended(self, outcome: Outcome) -> Outcome:
        append_event(
            self.root,
            self.run_id,
            "unit-ended",
            unit=outcome.name,
            state=outcome.state,
            exit_code=outcome.exit_code,
            message=outcome.message,
        )
        return outcome


def _is_done(unit: Unit) -> bool:
    try:
        return unit.verify() is not None
    except StoreError:
        # Damaged: the unit's process sets it aside and makes it again.
        return False


def _report(text: bytes) -> dict[str, Any]:
    """Return the JSON of the last line a child wrote, or nothing."""
    lines = text.splitlines()
    try:
        found = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
