"""What of a unit or run has reached which tracker: `mlflow.json`, one entry per tracker."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.digests import digest_file, digest_json
from mtquant.store.files import guarded, write_atomic
from mtquant.store.runs import RunRecord, run_folder, unit_of_run
from mtquant.store.units import DONE, Unit
from mtquant.tracking.location import without_secrets

STATE = "mlflow.json"


@dataclass(frozen=True)
class Published:
    """How far one tracker has followed a folder of the store."""

    experiment_id: str
    run_id: str
    """MLflow's id of the run."""
    complete: str | None = None
    """Digest of the `DONE.json` of which everything has arrived; of a run, of those that its model is made from."""


def read_published(folder: Path, uri: str) -> Published | None:
    """Return what `uri` has of `folder`, or None; a damaged file counts as None, the tracker is asked then."""
    entry = _entries(folder).get(without_secrets(uri))
    try:
        return Published(**entry) if entry else None
    except TypeError:
        return None


def write_published(folder: Path, uri: str, state: Published) -> None:
    """Record what `uri` has of `folder`; other trackers' entries stay."""
    entries = _entries(folder) | {without_secrets(uri): asdict(state)}
    write_atomic(folder / STATE, json.dumps(entries, indent=1).encode())


def _entries(folder: Path) -> dict[str, Any]:
    try:
        with guarded(folder / STATE, "read", passing=(FileNotFoundError,)):
            found = json.loads((folder / STATE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def done_digest(unit: Unit) -> str | None:
    """Return the sha256 of the unit's `DONE.json`, or None where it is not done."""
    path = unit.folder / DONE
    return digest_file(path) if path.is_file() else None


def model_digest(root: Path, record: RunRecord) -> str | None:
    """Return a digest of what the model of a whole run is made from, or None while that is not complete."""
    found = {}
    for name in record.units:
        kind = name.partition("-")[0]
        if kind in ("evaluate", "export"):
            try:
                found[kind] = done_digest(unit_of_run(root, record, name))
            except StoreError:
                return None
    complete = len(found) == 2 and all(found.values())
    return digest_json(found) if complete else None


def pending_units(root: Path, record: RunRecord, uri: str) -> list[str]:
    """Return the finished units of a run that the tracker does not have whole; `model` for that of the whole run."""
    pending = []
    for name in record.units:
        try:
            unit = unit_of_run(root, record, name)
        except StoreError:
            continue
        digest = done_digest(unit)
        state = read_published(unit.folder, uri)
        if digest and (state is None or state.complete != digest):
            pending.append(name)
    whole = model_digest(root, record)
    parent = read_published(run_folder(root, record.run_id), uri)
    if whole is not None and (parent is None or parent.complete != whole):
        pending.append("model")
    return pending
