"""What is said of runs and units in the tracker: names, tags, parameters, tables. Pure."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mtquant.evaluation.alarms import alarms
from mtquant.store.digests import digest_json
from mtquant.store.journal import JournalLine
from mtquant.store.runs import RunRecord, read_events
from mtquant.store.status import RunStatus, UnitStatus
from mtquant.store.units import Done, Unit

CREATED, PREPARED = "created", "prepared"
"""Events of a run: how it was asked for (profile, git), and what was to be done with each unit."""
DESCRIBED_TAG = "mtquant.described"
LINES_TAG, UNIT_TAG, RUN_TAG, KIND_TAG = "mtquant.lines", "mtquant.unit_key", "mtquant.run", "mtquant.kind"
SAMPLES_TAG, ATTEMPT_TAG, UNITS_TAG = "mtquant.samples", "mtquant.attempt", "mtquant.units"
STAGE_TAG, NOTE_TAG, ALARMS_TAG = "mtquant.stage", "mlflow.note.content", "mtquant.alarms"
EXPERIMENT_TAGS = {
    # Without it MLflow's pages take the experiment for one of language models.
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "One run per `mtquant train`, one child per unit. The store is the truth: `mtquant sync` "
    "makes all of this again.",
}
STATUS = {
    "done": "FINISHED",
    "running": "RUNNING",
    "preparing": "RUNNING",
    "stopped": "KILLED",
    "dead": "KILLED",
    "failed": "FAILED",
    "damaged": "FAILED",
    "waiting": "SCHEDULED",
}
"""The store's state to MLflow's."""
_ENDINGS = ("unit-ended", "run-ended")
_COLLAPSED = ("instruments", "catalogue", "planted")
_VALUE, _TAG = 6000, 8000


def first_event(root: Path, run_id: str, name: str) -> Mapping[str, Any]:
    """Return the first event of that name, or an empty mapping."""
    return next((event for event in read_events(root, run_id) if event.get("event") == name), {})


def last_event(root: Path, run_id: str, name: str) -> Mapping[str, Any]:
    """Return the newest event of that name, or an empty mapping."""
    return next((event for event in reversed(read_events(root, run_id)) if event.get("event") == name), {})


def experiment_name(root: Path, run_id: str) -> str:
    """Return `mtquant/<profile>`."""
    return f"mtquant/{first_event(root, run_id, CREATED).get('profile') or 'default'}"


def run_tags(root: Path, record: RunRecord) -> dict[str, str]:
    """Return the tags of the parent run."""
    created = first_event(root, record.run_id, CREATED)
    tags = {
        RUN_TAG: record.run_id,
        KIND_TAG: "run",
        "mtquant.engine": record.engine,
        "mtquant.command": " ".join(record.command),
        "mtquant.origin": record.origin or "",
        "mtquant.git": str(created.get("git") or ""),
        "mlflow.source.name": "mtquant",
        "mlflow.source.type": "LOCAL",
    }
    return {name: value[:_TAG] for name, value in tags.items() if value}


def unit_tags(root: Path, record: RunRecord, unit: Unit, attempts: int) -> dict[str, str]:
    """Return the tags of a unit's run."""
    created = first_event(root, record.run_id, CREATED)
    tags = {
        UNIT_TAG: unit.spec.key,
        RUN_TAG: record.run_id,
        KIND_TAG: "unit",
        "mtquant.phase": unit.spec.kind,
        "mtquant.subject": unit.spec.subject,
        ATTEMPT_TAG: str(attempts),
        "mtquant.git": str(created.get("git") or ""),
        "mtquant.folder": unit.spec.folder_name,
        "mlflow.source.name": "mtquant",
        "mlflow.source.type": "LOCAL",
    }
    return {name: value[:_TAG] for name, value in tags.items() if value}


def unit_params(unit: Unit) -> dict[str, str]:
    """Return the unit's configuration slice and seed as parameters; they are part of its key, so they never change."""
    params = dict(flat(unit.spec.inputs.get("config", {})))
    params["seed"] = str(unit.spec.inputs.get("seed", ""))
    params["total_steps"] = str(unit.spec.total_steps)
    return params


def run_params(record: RunRecord) -> dict[str, str]:
    """Return the run's whole configuration as parameters, one entry per instrument."""
    return dict(flat(record.config))


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield `a.b.c` and the value as text; lists, and one level below the long catalogues, as JSON."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and prefix.rstrip(".").rpartition(".")[2] not in _COLLAPSED:
            yield from flat(value, f"{path}.")
        elif isinstance(value, Mapping | list | tuple):
            yield path, json.dumps(value, sort_keys=True)[:_VALUE]
        else:
            yield path, str(value)[:_VALUE]


def milliseconds(moment: str) -> int:
    """Return an ISO 8601 time as milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def started_at(unit: Unit) -> int:
    """Return when the unit's first attempt began, milliseconds since 1970."""
    try:
        return milliseconds(json.loads((unit.folder / "attempts" / "0001.json").read_bytes())["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return round(time.time() * 1000)


def ended_at(root: Path, record: RunRecord) -> int | None:
    """Return when a run that is at rest came to rest, milliseconds since 1970; None where its events do not say."""
    moments = [event["wall"] for event in read_events(root, record.run_id) if event.get("event") in _ENDINGS]
    return round(max(moments) * 1000) if moments else None


def done_tags(done: Done) -> dict[str, str]:
    """Return what a finished unit's run is tagged with: the digests of its outputs, and what has no number."""
    undefined = sorted(name for name, value in done.metrics.items() if not math.isfinite(value))
    tags = {
        "mtquant.outputs": json.dumps(dict(done.outputs), sort_keys=True)[:_TAG],
        "mtquant.wall_seconds": str(done.wall_seconds),
    }
    return tags | ({"mtquant.undefined": ", ".join(undefined)[:_TAG]} if undefined else {})


def fingerprint(status: RunStatus, run_ids: Mapping[str, str]) -> str:
    """Return a digest that changes when the parent's table has something new to say; steps do not count."""
    return digest_json([status.state, [[u.name, u.state, u.attempts, run_ids.get(u.name)] for u in status.units]])


def units_table(root: Path, status: RunStatus, run_ids: Mapping[str, str]) -> dict[str, Any]:
    """Return the table of units that the parent run shows, as MLflow stores tables (`columns`, `data`)."""
    plan = last_event(root, status.run_id, PREPARED).get("plan", {})
    columns = ["unit", "state", "plan", "reason", "step", "total_steps", "attempts", "mlflow_run"]
    return {"columns": columns, "data": [_row(unit, plan.get(unit.name, ("", "")), run_ids) for unit in status.units]}


def _row(unit: UnitStatus, planned: Sequence[str], run_ids: Mapping[str, str]) -> list[Any]:
    state, reason = planned
    run_id = run_ids.get(unit.name, "")
    return [unit.name, unit.state, state, reason, unit.step, unit.total_steps, unit.attempts, run_id]


def alarms_tag(lines: Sequence[JournalLine]) -> dict[str, str]:
    """Return what the alarms say of a journal, or nothing where none goes off."""
    found = "; ".join(str(alarm) for alarm in alarms(lines))
    return {ALARMS_TAG: found[:_TAG]} if found else {}


def note(status: RunStatus, table: Mapping[str, Any], experiment_id: str) -> str:
    """Return the parent run's description: the units with links to their runs, in Markdown."""
    how = "" if status.state in ("done", "running") else f" Continue it with `mtquant resume {status.run_id}`."
    lines = [f"Run `{status.run_id}`: {status.state}.{how}", ""]
    lines += ["| unit | state | in this run | steps |", "| --- | --- | --- | --- |"]
    for name, state, planned, _, step, total, _, run_id in table["data"]:
        link = f"[{name}](#/experiments/{experiment_id}/runs/{run_id})" if run_id else name
        lines.append(f"| {link} | {state} | {planned} | {step} / {total} |")
    return "\n".join(lines)[:_TAG]
