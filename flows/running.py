"""What every flow over a run does: prepare it or take it over, order its units, show and tell how it ended."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.artifacts import RunLink, show_plan, show_results
from flows.execution import EXECUTION, Execution, execution_of
from flows.graph import nodes_of
from flows.progress import ProgressBars
from flows.request import known_run
from flows.schedule import Schedule
from flows.signals import forwarding_stops
from flows.zombies import TAG, close_zombies
from mtquant.cli.engines import default_workers
from mtquant.context import store_root
from mtquant.errors import MTQuantError, Preempted
from mtquant.execution.outcomes import conclude
from mtquant.execution.preparation import prepare_run
from mtquant.execution.supervisor import Outcome
from mtquant.store.runs import RunRecord, append_event, begin_lock, load_run, read_events, run_lock, unit_of_run
from mtquant.tracking.background import publishing


class Asked(Protocol):
    """What a person asks for in a flow's form."""

    def record(self, root: Path) -> RunRecord:
        """Record the run that becomes of it."""


def run_in_flow(name: str, asked: Asked, resume: str, workers: int) -> State:
    """Bring a run to its end inside the flow `name`: the one that was prepared for it, `resume`, or a new one.

    `workers` units side by side; 0: as many as fit.
    """
    root, given = store_root(), EXECUTION.get()
    try:
        # The lock is given back before the last pass of the publisher, which tells the state that the run is left in.
        with ExitStack() as tracked, ExitStack() as held:
            record, execution = _prepared(root, asked, resume, held) if given is None else _locked(root, given, held)
            held.callback(EXECUTION.reset, EXECUTION.set(execution))
            tracked.enter_context(publishing(root, record.run_id))
            held.enter_context(forwarding_stops(execution.supervisor))
            return _execute(name, root, record, execution, workers or default_workers())
    except MTQuantError as error:
        if given is not None:
            given.error = error
        return Failed(message=str(error))


def _prepared(root: Path, asked: Asked, resume: str, held: ExitStack) -> tuple[RunRecord, Execution]:
    """Do what the command line does before it starts the flow; `held` gets the lock of the run."""
    # A flow run that is retried has the run of its first attempt.
    mine = [tag.removeprefix(TAG) for tag in flow_run.tags if tag.startswith(TAG)]
    name = resume or next(iter(mine), "")
    record = known_run(root, name) if name else asked.record(root)
    with begin_lock(root, record.run_id):
        record = prepare_run(root, record).record
        held.enter_context(run_lock(root, record.run_id))
    return record, execution_of(root, record.run_id)


def _locked(root: Path, given: Execution, held: ExitStack) -> tuple[RunRecord, Execution]:
    record = load_run(root, given.supervisor.run_id)
    held.enter_context(run_lock(root, record.run_id))
    return record, given


def _execute(flow: str, root: Path, record: RunRecord, execution: Execution, workers: int) -> State:
    run = record.run_id
    _present(flow, root, run)
    execution.entered = True
    append_event(root, run, "run-started", engine="prefect", flow_run=str(flow_run.id))
    show_plan(root, record)
    nodes = nodes_of([unit_of_run(root, record, name).spec for name in record.units])
    execution.progress = ProgressBars()
    link, schedule = RunLink(root, record), Schedule(nodes, execution, workers)
    with execution.progress.moving(also=link):
        outcomes = schedule.run()
    link()
    show_results(root, record, outcomes)
    state = _state(record, outcomes, execution)
    append_event(root, run, "run-ended", state=state.name)
    execution.ended = True
    if schedule.interrupted is not None and _is_being_cancelled():
        # Whoever cancels it in Prefect tells its state.
        raise schedule.interrupted
    return state


def _is_being_cancelled() -> bool:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(str(flow_run.id))).state
    return state is not None and state.is_cancelling()


def _present(flow: str, root: Path, run: str) -> None:
    """Name the flow run after the run, and close what earlier ones left open."""
    starts = sum(event.get("event") == "run-started" for event in read_events(root, run))
    name = f"{run} resume {starts}" if starts else run
    with get_client(sync_client=True) as client:
        tags = [*(tag for tag in flow_run.tags if not tag.startswith(TAG)), f"{TAG}{run}"]
        client.update_flow_run(flow_run.id, name=name, tags=tags)
        close_zombies(client, root, flow, run, UUID(str(flow_run.id)), name)


def _state(record: RunRecord, outcomes: Sequence[Outcome], execution: Execution) -> State:
    """Return what the outcomes mean for the flow run."""
    try:
        conclude(record.run_id, outcomes, stopping=execution.supervisor.stopping)
    except MTQuantError as error:
        execution.error = error
        stopped = isinstance(error, Preempted)
        return Cancelled(name="Stopped", message=str(error)) if stopped else Failed(message=str(error))
    return Completed(message=f"{len(record.units)} units are complete")
