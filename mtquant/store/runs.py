"""Runs: one execution of the whole unit graph each, recorded before anything heavy starts."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError, UsageError
from mtquant.registry import did_you_mean
from mtquant.store.files import guarded, make_folder, require_folder, write_atomic
from mtquant.store.locks import Holder, holder_of, locked
from mtquant.store.units import UNITS, Unit, UnitSpec, read_spec

RUNS, RECORD, EVENTS, BEGIN = "runs", "run.json", "events.jsonl", "begin.lock"


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run: `runs/<run_id>/run.json`."""

    run_id: str
    created: str
    command: list[str]
    config: dict[str, Any]
    """The resolved `PipelineSpec`, as JSON."""
    engine: str
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    """Unit name to `key` and `folder`, in order; empty until the market was read."""
    targets: list[str] = field(default_factory=list)
    """Units that were asked for; with none, all of them."""
    origin: str | None = None
    """The run whose configuration this one started from, if any."""

    def with_units(self, specs: Sequence[UnitSpec]) -> "RunRecord":
        """Return the record of the same run with these units."""
        return replace(self, units={spec.name: {"key": spec.key, "folder": spec.folder_name} for spec in specs})


def new_run_id(now: datetime | None = None) -> str:
    """Return a short name that sorts by time: `20261121-071500-ab12`, the end being 16 microseconds each."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 16:04x}"


def create_run(
    root: Path,
    command: list[str],
    config: dict[str, Any],
    engine: str,
    targets: Sequence[str] = (),
    origin: str | None = None,
) -> RunRecord:
    """Record a new run durably. Raises `StoreError` where the store is not writable."""
    make_folder(root / RUNS)
    while True:
        created = datetime.now(UTC)
        run_id = new_run_id(created)
        try:
            with guarded(run_folder(root, run_id), "create the folder", passing=(FileExistsError,)):
                run_folder(root, run_id).mkdir()
        except FileExistsError:
            continue
        moment = created.isoformat(timespec="seconds")
        record = RunRecord(run_id, moment, command, config, engine, {}, list(targets), origin)
        save_run(root, record)
        return record


def save_run(root: Path, record: RunRecord) -> None:
    """Replace the record of a run."""
    content = json.dumps(asdict(record), indent=1, allow_nan=False)
    write_atomic(run_folder(root, record.run_id) / RECORD, content.encode())


def run_folder(root: Path, run_id: str) -> Path:
    """Return the folder of a run."""
    return root / RUNS / run_id


def list_runs(root: Path) -> list[str]:
    """Return the names of all recorded runs, oldest first."""
    require_folder(root)
    folder = root / RUNS
    return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}")) if folder.is_dir() else []


def load_run(root: Path, run_id: str | None = None) -> RunRecord:
    """Return the record of `run_id` (a unique beginning suffices), or of the newest run.

    Raises `UsageError` for an unknown name and `StoreError` for a damaged record.
    """
    path = run_folder(root, find_run(root, run_id)) / RECORD
    try:
        with guarded(path, "read"):
            record = RunRecord(**json.loads(path.read_bytes()))
        if record.run_id != path.parent.name or not all(entry["key"] for entry in record.units.values()):
            raise ValueError(f"it is that of run {record.run_id}")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StoreError(
            f"{path} is damaged: {error}. `mtquant train` with the same settings finds what is finished; "
            f"`mtquant runs rm {path.parent.name}` removes the record."
        ) from error
    return record


def find_run(root: Path, run_id: str | None) -> str:
    """Return the full name of the run that `run_id` begins, or of the newest. Raises `UsageError`."""
    known = list_runs(root)
    if not known:
        raise UsageError(f"There is no run in {root}. Start one with `mtquant train`, or set MTQUANT_STORE.")
    if run_id is None:
        return known[-1]
    matching = [run_id] if run_id in known else [name for name in known if name.startswith(run_id)]
    if len(matching) != 1:
        found = f"fits {len(matching)} runs" if matching else "is not known"
        raise UsageError(f"The run `{run_id}` {found} in {root}.{did_you_mean(run_id, matching or known)}")
    return matching[0]


def unit_of_run(root: Path, record: RunRecord, name: str) -> Unit:
    """Return a unit of the run. Raises `UsageError` for an unknown name, `StoreError` for a damaged folder."""
    if name not in record.units:
        raise UsageError(f"The run {record.run_id} has no unit `{name}`.{did_you_mean(name, record.units)}")
    entry = record.units[name]
    spec = read_spec(root / UNITS / entry["folder"])
    if spec.key != entry["key"]:
        raise StoreError(f"The folder {entry['folder']} holds another unit than the run {record.run_id} recorded.")
    return Unit(root, spec)


@contextmanager
def run_lock(root: Path, run_id: str) -> Iterator[None]:
    """Hold a run while an engine executes it. Raises `LockedError` that names the holder."""
    with locked(run_folder(root, run_id) / "lock", f"The run {run_id}"):
        yield


def run_holder(root: Path, run_id: str) -> Holder | None:
    """Return which process executes the run now, or None."""
    return holder_of(run_folder(root, run_id) / "lock")


@contextmanager
def begin_lock(root: Path, run_id: str) -> Iterator[None]:
    """Hold a run while it is prepared and its engine starts. Raises `LockedError` that names the holder."""
    with locked(run_folder(root, run_id) / BEGIN, f"The run {run_id}"):
        yield


def begin_holder(root: Path, run_id: str) -> Holder | None:
    """Return which process is about to execute the run, or None."""
    return holder_of(run_folder(root, run_id) / BEGIN)


def append_event(root: Path, run_id: str, event: str, **details: Any) -> None:
    """Append one line to the run's `events.jsonl`: `wall` in seconds, `event`, and details."""
    path = run_folder(root, run_id) / EVENTS
    line = json.dumps({"wall": round(time.time(), 3), "event": event, **details}, allow_nan=False) + "\n"
    with guarded(path, "append to"):
        # One write to a file opened for appending: lines of several processes do not mix.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


def read_events(root: Path, run_id: str) -> list[Mapping[str, Any]]:
    """Return the events of a run; lines that a crash tore are not there."""
    path = run_folder(root, run_id) / EVENTS
    try:
        with guarded(path, "read", passing=(FileNotFoundError,)):
            content = path.read_bytes()
    except FileNotFoundError:
        return []
    found: list[Mapping[str, Any]] = []
    for line in content.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return found
