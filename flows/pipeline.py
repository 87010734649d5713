"""The pipeline as a Prefect flow: `python -m flows.pipeline --run RUN`.

Prefect orders the units and shows them; each runs in a process of its own, and what is finished is
what the store says. Nothing is cached here.
"""

import argparse
import logging
import queue
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefect import allow_failure, flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture
from prefect.server.api.server import SubprocessASGIServer
from prefect.states import Cancelled, Completed, Crashed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.embedded import end_orphan, forget_server, note_server, prefect_home
from flows.signals import forwarding_stops, raising_early_stops, stopping_without_parent
from mtquant.context import store_root
from mtquant.errors import MTQuantError, Preempted
from mtquant.execution.direct import FINE
from mtquant.execution.outcomes import conclude
from mtquant.execution.supervisor import COMMAND, Outcome, Supervisor
from mtquant.store.runs import append_event, load_run, run_lock, unit_of_run
from mtquant.store.units import UnitSpec
from mtquant.tracking.background import publishing

LOGGER = logging.getLogger("mtquant.flow")
WORKERS = 2
POLL_SECONDS = 0.5


@dataclass
class Execution:
    """What the tasks of one flow run share; it stays in the process, Prefect carries only names."""

    supervisor: Supervisor
    ended: "queue.Queue[Outcome]" = field(default_factory=queue.Queue)
    entered: bool = False
    """Whether the flow itself began: before that, an error is Prefect's."""
    error: MTQuantError | None = None
    """What the outcomes mean, where not all units are complete."""


_EXECUTIONS: dict[str, Execution] = {}


@task(name="unit", task_run_name="{unit}", cache_policy=NO_CACHE, persist_result=False, tags=["mtquant"])
def run_unit(run: str, unit: str, needs: list[str] | None = None) -> State:
    """Supervise one unit's process; `needs` names upstream units that did not finish."""
    execution = _EXECUTIONS[run]
    if needs:
        outcome = Outcome(unit, "skipped", 0, f"needs {', '.join(needs)}")
    else:
        try:
            outcome = execution.supervisor.run(unit)
        except MTQuantError as error:
            outcome = Outcome(unit, "failed", error.exit_code, str(error))
    execution.ended.put(outcome)
    return state_of(outcome)


def state_of(outcome: Outcome) -> State:
    """Return an outcome as Prefect's state; names tell reused from trained and stopped from failed."""
    data = {"unit": outcome.name, "state": outcome.state, "attempts": outcome.attempts}
    if outcome.state == "done":
        return Completed(message=f"attempts: {outcome.attempts}", data=data)
    if outcome.state == "reused":
        return Completed(name="Reused", message="finished before with the same inputs", data=data)
    if outcome.state == "stopped":
        return Crashed(name="Stopped", message=outcome.message)
    if outcome.state == "skipped":
        return Cancelled(name="Skipped", message=outcome.message)
    return Failed(message=outcome.message)


@flow(
    name="mtquant-pipeline",
    flow_run_name="{run}",
    persist_result=False,
    validate_parameters=True,
    task_runner=ThreadPoolTaskRunner(max_workers=WORKERS),
)
def pipeline(run: str, log_dir: str | None = None) -> State:
    """Execute the units of a prepared run, each after those it reads; a failed one stops only what reads it."""
    root = store_root()
    execution = _EXECUTIONS.setdefault(run, Execution(_supervisor(root, run, log_dir, COMMAND)))
    execution.entered = True
    _note_embedded_server()
    record = load_run(root, run)
    units = [unit_of_run(root, record, name).spec for name in record.units]
    with forwarding_stops(execution.supervisor):
        outcomes = _schedule(run, units, execution)
    rows = [{"unit": o.name, "state": o.state, "attempts": o.attempts, "message": o.message} for o in outcomes]
    create_table_artifact(rows, key=f"mtquant-{run}", description=f"Units of run {run}")
    try:
        conclude(run, outcomes, stopping=execution.supervisor.stopping)
    except MTQuantError as error:
        execution.error = error
        stopped = isinstance(error, Preempted)
        return Cancelled(name="Stopped", message=str(error)) if stopped else Failed(message=str(error))
    return Completed(message=f"{len(outcomes)} units are complete")


def _schedule(run: str, units: Sequence[UnitSpec], execution: Execution) -> list[Outcome]:
    """Submit every unit once what it reads has ended; a waiting task would occupy a worker."""
    waiting, outcomes = list(units), dict[str, Outcome]()
    futures: dict[str, PrefectConcurrentFuture[State]] = {}
    while len(outcomes) < len(units):
        for unit in [u for u in waiting if all(name in outcomes for name in u.upstream)]:
            waiting.remove(unit)
            needs = [name for name in unit.upstream if outcomes[name].state not in FINE]
            # Prefect never starts a task behind a cancelled or crashed one, `allow_failure` or not.
            shown = [name for name in unit.upstream if outcomes[name].state in (*FINE, "failed")]
            after = [allow_failure(futures[name]) for name in shown]
            futures[unit.name] = run_unit.submit(run, unit.name, needs, wait_for=after)
        # A task tells its outcome before it ends, so one that was over before this wait has nothing more to tell.
        over = [name for name, future in futures.items() if name not in outcomes and future.wrapped_future.done()]
        try:
            outcome = execution.ended.get(timeout=POLL_SECONDS)
            outcomes[outcome.name] = outcome
        except queue.Empty:
            for name in over:
                message = f"Prefect ended its task as {futures[name].state.name}: {futures[name].state.message}"
                outcomes[name] = Outcome(name, "failed", 1, message)
    for future in futures.values():
        future.wait()
    return [outcomes[unit.name] for unit in units]


def main(argv: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Run the flow once, say in the run's events how it ended, and return the exit code."""
    arguments = _parse(argv)
    root, run = store_root(), arguments.run
    execution = Execution(_supervisor(root, run, arguments.log_dir, command))
    _EXECUTIONS[run] = execution
    if arguments.supervised:
        stopping_without_parent(execution.supervisor)
    try:
        with raising_early_stops():
            _execute(root, arguments, execution)
    except BaseException as error:
        code, message = _explained(error, execution, run)
        LOGGER.error("%s", message, exc_info=not isinstance(error, MTQuantError))
    else:
        code, message = 0, ""
    append_event(root, run, "flow-ended", exit_code=code, message=message)
    return code


def _execute(root: Path, arguments: argparse.Namespace, execution: Execution) -> None:
    run = arguments.run
    with publishing(root, run), run_lock(root, run):
        orphan = end_orphan(prefect_home())
        if orphan is not None:
            LOGGER.warning("ended the Prefect server (pid %d) of a run that was killed", orphan)
        append_event(root, run, "run-started", engine="prefect")
        runner = ThreadPoolTaskRunner(max_workers=arguments.workers)
        log_dir = str(arguments.log_dir) if arguments.log_dir else None
        try:
            state = pipeline.with_options(task_runner=runner)(run, log_dir, return_state=True)
        finally:
            forget_server(prefect_home())
        append_event(root, run, "run-ended", state=state.name)
    if execution.error is not None:
        raise execution.error
    if not state.is_completed():
        raise MTQuantError(f"The flow of run {run} ended as {state.name}: {state.message}")


def _explained(error: BaseException, execution: Execution, run: str) -> tuple[int, str]:
    """Return exit code and message for whatever ended the flow."""
    if isinstance(error, MTQuantError) and (error is execution.error or not execution.supervisor.stopping):
        return error.exit_code, str(error)
    if execution.supervisor.stopping:
        # Prefect's own reaction to the signal came first; the units have written their checkpoints.
        message = f"The run {run} was stopped; its state is kept. Continue exactly with: mtquant resume {run}"
        return Preempted.exit_code, message
    text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    if not execution.entered:
        return 1, f"Prefect could not start ({text}). `--engine direct` runs the same units without it."
    return 1, f"The flow of run {run} ended by {text}. `mtquant resume {run}` continues."


def _supervisor(root: Path, run: str, log_dir: "Path | str | None", command: Sequence[str]) -> Supervisor:
    # Two runs may share units; the one that comes second to a unit waits and reuses it.
    folder = Path(log_dir) if log_dir else None
    return Supervisor(root, run, command=command, log_dir=folder, wait_for_locks=True)


def _note_embedded_server() -> None:
    """Write down the process of the embedded server, if this flow has one."""
    for server in SubprocessASGIServer._instances.values():
        if server.server_process is not None:
            note_server(prefect_home(), server.server_process.pid)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description="Execute a prepared run.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--workers", type=int, default=WORKERS, help="units side by side")
    parser.add_argument("--log-dir", type=Path, help="folder for a training.log per phase")
    parser.add_argument("--supervised", action="store_true", help="stop when standard input ends")
    return parser.parse_args(argv)


if __name__ == "__main__":
    # Under its own name: Prefect and the registry of executions must see one module, not two.
    from flows.pipeline import main as run_main

    sys.exit(run_main())
