"""What the outcomes of a run's units mean for the run: its error, its exit code, its table."""

from collections.abc import Sequence

from mtquant.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    GateError,
    LockedError,
    MTQuantError,
    Preempted,
    StoreError,
    TrainingError,
)
from mtquant.execution.supervisor import Outcome

_CAUSES: dict[int, type[MTQuantError]] = {
    kind.exit_code: kind for kind in (ConfigError, DataError, CheckpointError, LockedError, GateError, StoreError)
}


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """Return one line per unit: name, state, attempts, message."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    lines = [f"  {o.name:<{width}}  {o.state:<7}  attempts {o.attempts}  {o.message}".rstrip() for o in outcomes]
    return "\n".join(lines)


def conclude(run_id: str, outcomes: Sequence[Outcome], *, stopping: bool = False) -> None:
    """Raise unless every unit is complete.

    `Preempted` (75) where the run was stopped and can continue. After a failure the error of its cause where
    all failures have one cause with an exit code of its own (settings, data, lock, store), else
    `TrainingError` (7); the message has a table of all units.
    """
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    stopped = [outcome for outcome in outcomes if outcome.state == "stopped"]
    table = outcome_table(outcomes)
    resume = f"mtquant resume {run_id}"
    if stopped and (stopping or not failed):
        raise Preempted(f"The run {run_id} was stopped; its state is kept. Continue exactly with: {resume}\n{table}")
    if failed:
        codes = {outcome.exit_code for outcome in failed}
        cause = _CAUSES.get(codes.pop(), TrainingError) if len(codes) == 1 else TrainingError
        names = ", ".join(outcome.name for outcome in failed)
        raise cause(f"{names} failed; complete units are kept. After mending the cause: {resume}\n{table}")
