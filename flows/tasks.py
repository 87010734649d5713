"""The task of the flow: a unit, the gate behind the specialists, or the registration."""

from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.execution import Execution, current
from flows.graph import GATE, REGISTER
from mtquant.errors import MTQuantError, StoreError
from mtquant.execution.registering import register_challenger
from mtquant.execution.supervisor import Outcome
from mtquant.store.runs import load_run, unit_of_run
from mtquant.store.status import unit_status


@task(name="node", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_node(name: str, kind: str, needs: list[str]) -> State:
    """Bring one node of the graph to its end; `needs` names what it reads that did not finish."""
    execution = current()
    if needs:
        outcome = Outcome(name, "skipped", 0, f"needs {', '.join(needs)}")
    else:
        try:
            outcome = _WORK.get(kind, _run_unit)(execution, name)
        except MTQuantError as error:
            outcome = Outcome(name, "failed", error.exit_code, str(error))
    execution.tell(outcome)
    return state_of(outcome)


def _run_unit(execution: Execution, name: str) -> Outcome:
    """Supervise one unit's process, with a bar that shows how far it is."""
    supervisor = execution.supervisor
    unit = unit_of_run(supervisor.root, load_run(supervisor.root, supervisor.run_id), name)
    if unit_status(unit).state == "done":
        return supervisor.run(name)
    with execution.progress.of(unit):
        return supervisor.run(name)


def _check_specialists(execution: Execution, name: str) -> Outcome:
    """Compare every byte the specialists left with what they declared: nothing may build on damage."""
    root, run = execution.supervisor.root, execution.supervisor.run_id
    record = load_run(root, run)
    found = [
        unit for unit in (unit_of_run(root, record, entry) for entry in record.units) if unit.spec.kind == "phase1"
    ]
    problems = []
    for unit in found:
        try:
            if unit.verify() is None:
                problems.append(f"{unit.spec.name} is not complete")
        except StoreError as error:
            problems.append(str(error))
    if problems:
        return Outcome(name, "failed", StoreError.exit_code, "; ".join(problems))
    return Outcome(name, "done", 0, f"{len(found)} specialists are complete and undamaged")


def _register(execution: Execution, name: str) -> Outcome:
    """Make the run's policy the challenger."""
    made = register_challenger(execution.supervisor.root, execution.supervisor.run_id)
    if made is None:
        return Outcome(name, "skipped", 0, "the run left no policy to deploy")
    return Outcome(name, "done", 0, f"{made.alias}: {made.policy.stage} of run {made.policy.run_id}")


_WORK: dict[str, Callable[[Execution, str], Outcome]] = {GATE: _check_specialists, REGISTER: _register}


def state_of(outcome: Outcome) -> State:
    """Return an outcome as Prefect's state; names tell reused from trained and stopped from failed."""
    data = {"unit": outcome.name, "state": outcome.state, "attempts": outcome.attempts}
    if outcome.state == "done":
        return Completed(message=outcome.message or f"attempts: {outcome.attempts}", data=data)
    if outcome.state == "reused":
        return Completed(name="Reused", message="finished before with the same inputs", data=data)
    if outcome.state == "stopped":
        return Cancelled(name="Stopped", message=outcome.message)
    if outcome.state == "skipped":
        return Cancelled(name="Skipped", message=outcome.message)
    return Failed(message=outcome.message)
