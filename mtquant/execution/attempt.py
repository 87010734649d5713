"""One attempt at one unit, in this process: lock, resume, work, marker of completion."""

import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.errors import ConfigError, MTQuantError, Preempted, StoreError
from mtquant.execution.numerics import numeric_environment
from mtquant.store.files import refusals_explained
from mtquant.store.runs import RunRecord, load_run, unit_of_run
from mtquant.store.status import UnitError, write_error
from mtquant.store.units import LOGGER, Done, Unit, UnitHandle, UnitResult, UnitSpec

Work = Callable[[PipelineSpec, UnitSpec, dict[str, Path], UnitHandle], UnitResult]


def read_settings(record: RunRecord) -> PipelineSpec:
    """Return the resolved settings of a run. Raises `ConfigError` where this version cannot read them."""
    try:
        return PipelineSpec.model_validate_json(json.dumps(record.config))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The settings of the run {record.run_id} do not fit this version: `{where}`: {first['msg']}. "
            "Start a new run with `mtquant train`; units whose inputs are the same are reused."
        ) from error


def run_attempt(
    root: Path, run_id: str, name: str, work: Mapping[str, Work], stop: Callable[[], bool] = lambda: False
) -> Done:
    """Bring a unit to its end, from its newest checkpoint; return at once where it is complete.

    Raises `LockedError` where another process holds it, `StoreError` where an upstream unit is not complete,
    `Preempted` after a stop, and what the work raises; the last two also leave `error.json`.
    """
    record = load_run(root, run_id)
    unit = unit_of_run(root, record, name)
    with unit.lock():
        found = _complete(unit)
        if found is not None:
            LOGGER.info("%s is complete already", name)
            return found
        spec = read_settings(record)
        attempt = unit.begin_attempt()
        try:
            _perform(root, record, spec, unit, attempt, work, stop)
        except BaseException as error:
            unexpected = not isinstance(error, MTQuantError)
            LOGGER.error("attempt %d of %s ended: %s", attempt, name, error, exc_info=unexpected)
            _leave_word(unit, describe(error, attempt))
            raise
        done = unit.done()
    if done is None:
        raise StoreError(f"The unit {name} ended without {unit.folder / 'DONE.json'}; run `mtquant resume`.")
    LOGGER.info("%s is complete: %s", name, ", ".join(f"{k} {v:.6g}" for k, v in done.metrics.items()))
    return done


def _complete(unit: Unit) -> Done | None:
    """Return the marker of completion; damaged results are set aside so that the unit is made again."""
    try:
        return unit.verify()
    except StoreError as error:
        LOGGER.warning("%s", error)
        unit.set_aside()
        return None


def _perform(
    root: Path,
    record: RunRecord,
    spec: PipelineSpec,
    unit: Unit,
    attempt: int,
    work: Mapping[str, Work],
    stop: Callable[[], bool],
) -> None:
    upstream = {name: _upstream(root, record, name) for name in unit.spec.upstream}
    if stop():
        raise Preempted(f"Stopped before {unit.spec.name} began.")
    environment = numeric_environment(spec.device)
    _say_where(unit, attempt, environment)
    handle = UnitHandle(unit, Streams(spec.seed), attempt, spec.checkpoint_seconds, stop, environment)
    started = time.monotonic()
    folders = {name: found.outputs for name, (found, _) in upstream.items()}
    with refusals_explained(unit.folder):
        result = work[unit.spec.kind](spec, unit.spec, folders, handle)
    consumed = {name: done.outputs for name, (_, done) in upstream.items()}
    unit.finish(result.metrics, result.outputs, consumed, time.monotonic() - started)


def _upstream(root: Path, record: RunRecord, name: str) -> tuple[Unit, Done]:
    """Return a complete upstream unit whose files are what its marker says."""
    unit = unit_of_run(root, record, name)
    done = unit.verify()
    if done is None:
        raise StoreError(f"The unit {name} is not complete; run it first: `mtquant resume {record.run_id}`.")
    return unit, done


def _say_where(unit: Unit, attempt: int, environment: dict[str, str]) -> None:
    newest = unit.checkpoints.latest()
    if newest is None:
        LOGGER.info("attempt %d of %s starts at step 0", attempt, unit.spec.name)
        return
    total = unit.spec.total_steps
    LOGGER.info("attempt %d of %s continues at step %d of %d", attempt, unit.spec.name, newest.step, total)
    if newest.environment != environment:
        LOGGER.warning(
            "the state is exact, but the result will not be bit-identical: %s then, %s now",
            newest.environment,
            environment,
        )


def describe(error: BaseException, attempt: int) -> UnitError:
    """Return how an attempt ended, with its exit code and whether trying again can help."""
    if isinstance(error, MTQuantError):
        return UnitError(attempt, error.exit_code, type(error).__name__, str(error), False)
    if isinstance(error, KeyboardInterrupt):
        return UnitError(attempt, 130, "KeyboardInterrupt", "interrupted; the last checkpoint is kept", False)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(last[0].filename).name}:{last[0].lineno})" if last else ""
    # A refused system call or lack of memory may be gone a moment later; any other error would come again.
    transient = isinstance(error, OSError | MemoryError)
    return UnitError(attempt, 1, type(error).__name__, f"{type(error).__name__}: {error}{where}", transient)


def _leave_word(unit: Unit, error: UnitError) -> None:
    try:
        write_error(unit, error)
    except StoreError as second:
        # The disk may be what failed; the process's report carries the message then.
        logging.getLogger(__name__).warning("%s", second)
