"""The engine without Prefect: the same unit processes, in order, as many at once as workers."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType

from mtquant.execution.outcomes import conclude
from mtquant.execution.supervisor import Outcome, Supervisor
from mtquant.store.runs import append_event, run_lock
from mtquant.store.units import UnitSpec

FINE = ("reused", "done")
Watch = Callable[[Mapping[str, str]], None]
"""Called about every `tick_seconds` with the state of every unit: `waiting`, `running` or an outcome's."""


def run_direct(
    supervisor: Supervisor,
    units: Sequence[UnitSpec],
    *,
    workers: int = 2,
    watch: Watch | None = None,
    tick_seconds: float = 0.25,
) -> list[Outcome]:
    """Run `units` in order of their upstream and return their outcomes when all went well.

    A failed unit stops only what reads it. Raises what `conclude` raises: `Preempted` after a stop, an
    error with a table of all units after a failure; `LockedError` where another process executes the run.
    """
    with run_lock(supervisor.root, supervisor.run_id), passing_signals(supervisor):
        append_event(supervisor.root, supervisor.run_id, "run-started", engine="direct")
        outcomes = _Schedule(supervisor, units, watch or _unwatched, tick_seconds).run(workers)
        states = {outcome.name: outcome.state for outcome in outcomes}
        append_event(supervisor.root, supervisor.run_id, "run-ended", states=states)
    conclude(supervisor.run_id, outcomes, stopping=supervisor.stopping)
    return outcomes


def _unwatched(_: Mapping[str, str]) -> None:
    """Nobody looks."""


class _Schedule:
    def __init__(self, supervisor: Supervisor, units: Sequence[UnitSpec], watch: Watch, tick_seconds: float) -> None:
        self.supervisor = supervisor
        self.waiting = list(units)
        self.names = [unit.name for unit in units]
        self.watch = watch
        self.tick_seconds = tick_seconds
        self.running: dict[Future[Outcome], str] = {}
        self.ended: dict[str, Outcome] = {}

    def run(self, workers: int) -> list[Outcome]:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                while self.waiting or self.running:
                    self._start_ready(pool, workers)
                    self.watch(self.states())
                    self._collect()
            except BaseException:
                # Leaving the pool waits for its threads; the children must not keep them.
                self.supervisor.stop()
                raise
        self.watch(self.states())
        return [self.ended[name] for name in self.names]

    def states(self) -> dict[str, str]:
        running = set(self.running.values())
        return {
            name: self.ended[name].state if name in self.ended else "running" if name in running else "waiting"
            for name in self.names
        }

    def _start_ready(self, pool: ThreadPoolExecutor, workers: int) -> None:
        for unit in list(self.waiting):
            before = [self.ended[name] for name in unit.upstream if name in self.ended]
            broken = [outcome for outcome in before if outcome.state not in FINE]
            if self.supervisor.stopping:
                self._give_up(unit, "stopped", 75, "not begun")
            elif broken:
                names = ", ".join(outcome.name for outcome in broken)
                self._give_up(unit, "skipped", 0, f"needs {names}")
            elif len(before) == len(unit.upstream) and len(self.running) < workers:
                self.waiting.remove(unit)
                self.running[pool.submit(self.supervisor.run, unit.name)] = unit.name

    def _give_up(self, unit: UnitSpec, state: str, exit_code: int, message: str) -> None:
        self.waiting.remove(unit)
        self.ended[unit.name] = Outcome(unit.name, state, exit_code, message)

    def _collect(self) -> None:
        finished, _ = wait(self.running, timeout=self.tick_seconds, return_when=FIRST_COMPLETED)
        for future in finished:
            name = self.running.pop(future)
            self.ended[name] = future.result()


@contextmanager
def passing_signals(supervisor: Supervisor) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into a clean stop of the children; a second Ctrl-C ends them at once.

    Only the main thread can listen to signals; elsewhere the caller does it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _: FrameType | None) -> None:
        # From a thread: the lock inside may be held by the code that this handler interrupted.
        again = number == signal.SIGINT and supervisor.stopping
        threading.Thread(target=supervisor.kill if again else supervisor.stop).start()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
