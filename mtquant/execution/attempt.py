"""One attempt at one unit, in this process: lock, resume, work, marker of completion."""

import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtquant.config.agents import PipelineSpec
from mtquant.config.marl import UnifiedTrainingConfig
from mtquant.context import Streams
from mtquant.errors import CheckpointError, ConfigError, MTQuantError, Preempted, StoreError, UsageError
from mtquant.execution.numerics import numeric_environment
from mtquant.store.chain import ORIGIN
from mtquant.store.files import refusals_explained
from mtquant.store.fold_names import names_in_fold
from mtquant.store.runs import RunRecord, append_event, load_run, unit_of_run
from mtquant.store.status import UnitError, write_error
from mtquant.store.units import LOGGER, Done, Unit, UnitHandle, UnitResult, UnitSpec

Settings = PipelineSpec | UnifiedTrainingConfig
Work = Callable[[Any, UnitSpec, dict[str, Path], UnitHandle], UnitResult]
"""From a run's settings, the unit, the outputs that it reads and its handle to what came out."""
MODE = "training_mode"
"""Key that only the settings of a run of teams have."""
HISTORY = "history"
"""Output of a trained unit: the head of the hash chain over every update since step 0."""


def read_settings(record: RunRecord) -> Settings:
    """Return the resolved settings of a run. Raises `ConfigError` where this version cannot read them."""
    kind: type[Settings] = UnifiedTrainingConfig if is_team_run(record) else PipelineSpec
    try:
        return kind.model_validate_json(json.dumps(record.config))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The settings of the run {record.run_id} do not fit this version: `{where}`: {first['msg']}. "
            "Start a new run with `mtquant train`; units whose inputs are the same are reused."
        ) from error


def is_team_run(record: RunRecord) -> bool:
    """Return whether a run trains teams rather than the pipeline."""
    return MODE in record.config


def read_pipeline(record: RunRecord) -> PipelineSpec:
    """Return the settings of a run of the pipeline. Raises `UsageError` for a run that trained teams."""
    settings = read_settings(record)
    if isinstance(settings, PipelineSpec):
        return settings
    raise UsageError(
        f"The run {record.run_id} trained teams (`{settings.training_mode}`), not the pipeline; what it measured and "
        "exported is in its units (`mtquant status`)."
    )


def run_attempt(
    root: Path,
    run_id: str,
    name: str,
    work: Mapping[str, Work],
    stop: Callable[[], bool] = lambda: False,
    *,
    restart: bool = True,
) -> Done:
    """Bring a unit to its end, from its newest checkpoint; return at once where it is complete.

    Raises `LockedError` where another process holds it, `StoreError` where an upstream unit is not complete,
    `Preempted` after a stop, and what the work raises; the last two also leave `error.json`. Where every checkpoint
    is damaged it starts from step 0 and says so, or without `restart` raises `CheckpointError`.
    """
    record = load_run(root, run_id)
    unit = unit_of_run(root, record, name)
    with unit.lock():
        found = _complete(unit)
        if found is not None:
            LOGGER.info("%s is complete already", name)
            return found
        spec = read_settings(record)
        measured = _measured(unit)
        attempt = unit.begin_attempt()
        try:
            _continue(root, record, unit, attempt, measured, restart=restart)
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


def _measured(unit: Unit) -> int:
    """Return the step of the journal's last line."""
    try:
        last = unit.journal.last()
    except StoreError:
        # Damaged: whether a checkpoint counts on that line is found out when the attempt begins.
        return 0
    return last.step if last else 0


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
    spec: Settings,
    unit: Unit,
    attempt: int,
    work: Mapping[str, Work],
    stop: Callable[[], bool],
) -> None:
    upstream = {name: _upstream(root, record, name) for name in unit.spec.upstream}
    if stop():
        raise Preempted(f"Stopped before {unit.spec.name} began.")
    environment = numeric_environment(spec.device)
    _compare(unit, environment)
    handle = UnitHandle(unit, Streams(spec.seed), attempt, spec.checkpoint_seconds, stop, environment)
    started = time.monotonic()
    called = names_in_fold(unit.spec.upstream)
    folders = {called[name]: found.outputs for name, (found, _) in upstream.items()}
    with refusals_explained(unit.folder):
        result = work[unit.spec.kind](spec, unit.spec, folders, handle)
    consumed = {name: done.outputs for name, (_, done) in upstream.items()}
    unit.fence(attempt)
    unit.finish(result.metrics, outputs_of(result, handle), consumed, time.monotonic() - started)


def outputs_of(result: UnitResult, handle: UnitHandle) -> dict[str, str]:
    """Return the digests of what a unit made; a trained one's include that of its whole history."""
    return result.outputs if handle.head == ORIGIN else result.outputs | {HISTORY: handle.head}


def _upstream(root: Path, record: RunRecord, name: str) -> tuple[Unit, Done]:
    """Return a complete upstream unit whose files are what its marker says."""
    unit = unit_of_run(root, record, name)
    done = unit.verify()
    if done is None:
        raise StoreError(f"The unit {name} is not complete; run it first: `mtquant resume {record.run_id}`.")
    return unit, done


def _continue(root: Path, record: RunRecord, unit: Unit, attempt: int, measured: int, *, restart: bool) -> None:
    """Say where the attempt continues; a start from step 0 that repeats work is never silent."""
    name, total = unit.spec.name, unit.spec.total_steps
    lost = unit.checkpoints.lost()
    step = unit.checkpoints.newest_step() or 0
    repeated = max(0, measured - step)
    if lost and not restart:
        raise CheckpointError(
            f"All {lost} checkpoints of {name} are damaged; they lie in {unit.quarantine_folder}. Restore one into "
            f"{unit.checkpoints.root}, or let it start again from step 0: `mtquant resume {record.run_id}`."
        )
    if lost:
        message = f"all {lost} checkpoints of {name} are damaged; it starts again from step 0 of {total}"
        LOGGER.warning("%s; they lie in %s", message, unit.quarantine_folder)
        append_event(root, record.run_id, "restarted", unit=name, attempt=attempt, message=message)
    elif attempt > 1:
        LOGGER.info("attempt %d of %s continues at step %d of %d, repeating %d", attempt, name, step, total, repeated)
        append_event(root, record.run_id, "continued", unit=name, attempt=attempt, step=step, repeated=repeated)
    else:
        LOGGER.info("attempt %d of %s starts at step 0", attempt, name)


def _compare(unit: Unit, environment: dict[str, str]) -> None:
    """Warn where the bits of the rest may differ from those of an undisturbed run."""
    newest = unit.checkpoints.latest()
    if newest is not None and newest.environment != environment:
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
    text = f"{type(error).__name__}: {error}{where}"
    if isinstance(error, MemoryError):
        text = (
            f"out of memory{where}: {error}. The last checkpoint is kept. Train fewer units side by side "
            "(`--workers 1`), or with fewer rows (`n_envs` of the phase), and run `mtquant resume`."
        )
    return UnitError(attempt, 1, type(error).__name__, text, transient)


def _leave_word(unit: Unit, error: UnitError) -> None:
    try:
        write_error(unit, error)
    except StoreError as second:
        # The disk may be what failed; the process's report carries the message then.
        logging.getLogger(__name__).warning("%s", second)
