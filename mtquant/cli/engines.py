"""How a prepared run is executed: the direct engine in this process, the Prefect flow in its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any

from mtquant.context import STORE_VARIABLE
from mtquant.errors import MTQuantError, Preempted
from mtquant.execution.direct import run_direct
from mtquant.execution.numerics import threads
from mtquant.execution.preparation import PreparedRun
from mtquant.execution.registering import register_challenger
from mtquant.execution.supervisor import COMMAND, Supervisor
from mtquant.store.runs import RunRecord, read_events, run_folder
from mtquant.tracking.background import publishing
from mtquant.tracking.location import tracking_uri
from mtquant.tracking.published import pending_units

FLOW = (sys.executable, "-m", "flows.local")
FLOW_LOG = "flow.log"
FLOW_ENDED = "flow-ended"
"""Event with which the flow's process says how it ended: `exit_code`, `message`."""
STOPPING = "stopping: waiting for the units to write their checkpoints (Ctrl-C again ends them at once)"


class Engine(StrEnum):
    """Who starts the units."""

    PREFECT = "prefect"
    DIRECT = "direct"


@dataclass(frozen=True)
class Launch:
    """How units are started."""

    engine: Engine
    workers: int
    log_dir: Path | None = None
    unit_command: Sequence[str] = field(default_factory=lambda: COMMAND)
    flow_command: Sequence[str] = field(default_factory=lambda: FLOW)
    restart: bool = True
    """Whether a unit whose checkpoints are all damaged starts from step 0; else it fails."""


@dataclass(frozen=True)
class Watcher:
    """Who looks on: `tick` is called a few times a second, `say` gets single lines."""

    tick: Callable[[], None]
    say: Callable[[str], None]


def default_workers() -> int:
    """Return how many units fit side by side: processors by threads per unit, at most one per specialist."""
    return max(1, min(3, (os.cpu_count() or 1) // threads()))


def execute(root: Path, run: PreparedRun, launch: Launch, watcher: Watcher) -> None:
    """Bring all units of the run to their end. Raises what `execution.outcomes.conclude` raises."""
    if launch.engine is Engine.DIRECT:
        _run_directly(root, run, launch, watcher)
    else:
        _run_flow(root, run.record.run_id, launch, watcher)


def complete_record(root: Path, record: RunRecord) -> None:
    """Register and publish what a kill after the last unit left undone."""
    register_challenger(root, record.run_id)
    if pending_units(root, record, tracking_uri(root)):
        with publishing(root, record.run_id):
            pass


def _run_directly(root: Path, run: PreparedRun, launch: Launch, watcher: Watcher) -> None:
    supervisor = Supervisor(
        root,
        run.record.run_id,
        command=launch.unit_command,
        log_dir=launch.log_dir,
        wait_for_locks=True,
        restart=launch.restart,
    )
    told = False

    def watch(_: Mapping[str, str]) -> None:
        nonlocal told
        if supervisor.stopping and not told:
            told = True
            watcher.say(STOPPING)
        watcher.tick()

    with publishing(root, run.record.run_id):
        run_direct(supervisor, run.units, workers=launch.workers, watch=watch)
        register_challenger(root, run.record.run_id)


def _run_flow(root: Path, run_id: str, launch: Launch, watcher: Watcher) -> None:
    """Start the flow's process, follow it, and raise the error it reports."""
    log = run_folder(root, run_id) / FLOW_LOG
    arguments = [*launch.flow_command, "--run", run_id, "--workers", str(launch.workers), "--supervised"]
    arguments += ["--log-dir", str(launch.log_dir)] if launch.log_dir else []
    arguments += [] if launch.restart else ["--no-restart"]
    started = time.time()
    with log.open("ab") as file:
        flow = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=os.environ | {STORE_VARIABLE: str(root.absolute())},
            # Ctrl-C reaches this process, which passes it on.
            start_new_session=True,
        )
    with _passing_stops(flow) as stops:
        told = False
        while flow.poll() is None:
            if stops and not told:
                told = True
                watcher.say(STOPPING)
            watcher.tick()
            time.sleep(0.2)
    assert flow.stdin is not None
    flow.stdin.close()
    watcher.tick()
    report = _ending(root, run_id, started)
    if report is None and stops:
        raise Preempted(f"Run {run_id} was stopped before its flow had begun. `mtquant resume {run_id}` continues.")
    if report is None:
        raise MTQuantError(
            f"The flow of run {run_id} ended with exit code {flow.returncode} without a word; see {log}. "
            f"`mtquant resume {run_id}` continues; `--engine direct` runs the same units without Prefect."
        )
    if report["exit_code"]:
        raise error_of(int(report["exit_code"]), str(report["message"]))


def error_of(exit_code: int, message: str) -> MTQuantError:
    """Return the error that ends the command line with `exit_code`."""
    known = {kind.exit_code: kind for kind in MTQuantError.__subclasses__()}
    return known.get(exit_code, MTQuantError)(message)


def _ending(root: Path, run_id: str, since: float) -> Mapping[str, Any] | None:
    """Return what the flow's process said last, if it did since `since`."""
    for event in reversed(read_events(root, run_id)):
        if event.get("event") == FLOW_ENDED:
            return event if event["wall"] >= since - 1.0 else None
    return None


@contextmanager
def _passing_stops(flow: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Pass stops on to the flow, which takes a second one to end its units at once; yields those heard."""
    heard: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        heard.append(number)
        flow.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
