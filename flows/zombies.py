"""Flow runs whose process died without a word: Prefect shows them as running until somebody says otherwise."""

import logging
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Crashed

from flows.progress import only_shown
from mtquant.store.runs import list_runs, read_events, run_holder

LOGGER = logging.getLogger("mtquant.flow")
OPEN = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
TAG = "run:"


def close_zombies(client: SyncPrefectClient, root: Path, flow: str, run: str, own: UUID, name: str) -> list[str]:
    """Force flow runs that are over to Crashed and return their names; the caller holds the lock of `run`.

    Over are all other flow runs of `run`, and those of the store's other runs that nobody executes and that began
    without an end.
    """
    with only_shown("which flow runs are over"):
        found = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OPEN))),
        )
        known = set(list_runs(root))
        over = [other for other in found if other.id != own and _is_over(root, run, _run_of(other), known)]
        for other in over:
            _close(client, other, f"superseded by {name}")
        return [str(other.name) for other in over]
    return []


def _run_of(flow_run: FlowRun) -> str | None:
    return next((tag.removeprefix(TAG) for tag in flow_run.tags if tag.startswith(TAG)), None)


def _is_over(root: Path, run: str, other: str | None, known: set[str]) -> bool:
    if other == run:
        return True
    if other is None or other not in known or run_holder(root, other) is not None:
        return False
    # A flow says that its run ended before it lets go of the lock.
    said = [event["event"] for event in read_events(root, other) if event.get("event") in ("run-started", "run-ended")]
    return said[-1:] == ["run-started"]


def _close(client: SyncPrefectClient, flow_run: FlowRun, message: str) -> None:
    LOGGER.warning("flow run %s is over without a word: %s", flow_run.name, message)
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id={"any_": [flow_run.id]}),
        task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=OPEN))),
    )
    for task_run in tasks:
        client.set_task_run_state(task_run.id, _crashed(message), force=True)
    client.set_flow_run_state(flow_run.id, _crashed(message), force=True)


def _crashed(message: str) -> State:
    return Crashed(message=message)
