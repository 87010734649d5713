"""The pipeline as a Prefect flow, started by a worker or by `python -m flows.local --run RUN`.

Prefect orders the units and shows them; each runs in a process of its own, and what is finished is
what the store says. Nothing is cached here.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import RunLink, show_plan, show_results
from flows.execution import EXECUTION, Execution, execution_of
from flows.graph import nodes_of
from flows.progress import ProgressBars
from flows.request import Profile, Request, RunName, Seed, Timeframe, Workers, known_run
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

NAME = "mtquant-pipeline"


@flow(name=NAME, persist_result=False, validate_parameters=True, task_runner=ThreadPoolTaskRunner())  # type: ignore[arg-type]
def pipeline(
    profile: Profile = "agents.yaml",
    data: str = "",
    timeframe: Timeframe = "any",
    settings: tuple[str, ...] = (),
    seed: Seed | None = None,
    workers: Workers = 0,
    resume: RunName = "",
) -> State:
    """Train all three phases, evaluate, export and register; what is finished already is reused.

    Args:
        profile: Settings to start from; `agents.yaml` is the one in the worker's `config` folder.
        data: Folder of bars on the worker, or the name of a planted market. Empty: what the settings say.
        timeframe: Bar length, where a folder holds several. `any`: what the settings say.
        settings: Single settings that differ, as in `phase1.timesteps=20000`.
        seed: Root of every random stream. None: what the settings say.
        workers: Units side by side. 0: as many as fit.
        resume: Name of a run to continue exactly where it stopped; only `workers` counts beside it.
    """
    root, given = store_root(), EXECUTION.get()
    try:
        # The lock is given back before the last pass of the publisher, which tells the state that the run is left in.
        with ExitStack() as tracked, ExitStack() as held:
            request = Request(profile, data, timeframe, settings, seed)
            record, execution = _prepared(root, request, resume, held) if given is None else _locked(root, given, held)
            held.callback(EXECUTION.reset, EXECUTION.set(execution))
            tracked.enter_context(publishing(root, record.run_id))
            held.enter_context(forwarding_stops(execution.supervisor))
            return _execute(root, record, execution, workers or default_workers())
    except MTQuantError as error:
        if given is not None:
            given.error = error
        return Failed(message=str(error))


def _prepared(root: Path, request: Request, resume: str, held: ExitStack) -> tuple[RunRecord, Execution]:
    """Do what the command line does before it starts the flow; `held` gets the lock of the run."""
    # A flow run that is retried has the run of its first attempt.
    mine = [tag.removeprefix(TAG) for tag in flow_run.tags if tag.startswith(TAG)]
    name = resume or next(iter(mine), "")
    record = known_run(root, name) if name else request.record(root)
    with begin_lock(root, record.run_id):
        record = prepare_run(root, record).record
        held.enter_context(run_lock(root, record.run_id))
    return record, execution_of(root, record.run_id)


def _locked(root: Path, given: Execution, held: ExitStack) -> tuple[RunRecord, Execution]:
    record = load_run(root, given.supervisor.run_id)
    held.enter_context(run_lock(root, record.run_id))
    return record, given


def _execute(root: Path, record: RunRecord, execution: Execution, workers: int) -> State:
    run = record.run_id
    _present(root, run)
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


def _present(root: Path, run: str) -> None:
    """Name the flow run after the run, and close what earlier ones left open."""
    starts = sum(event.get("event") == "run-started" for event in read_events(root, run))
    name = f"{run} resume {starts}" if starts else run
    with get_client(sync_client=True) as client:
        tags = [*(tag for tag in flow_run.tags if not tag.startswith(TAG)), f"{TAG}{run}"]
        client.update_flow_run(flow_run.id, name=name, tags=tags)
        close_zombies(client, root, NAME, run, UUID(str(flow_run.id)), name)


def _state(record: RunRecord, outcomes: Sequence[Outcome], execution: Execution) -> State:
    """Return what the outcomes mean for the flow run."""
    try:
        conclude(record.run_id, outcomes, stopping=execution.supervisor.stopping)
    except MTQuantError as error:
        execution.error = error
        stopped = isinstance(error, Preempted)
        return Cancelled(name="Stopped", message=str(error)) if stopped else Failed(message=str(error))
    return Completed(message=f"{len(record.units)} units are complete")
