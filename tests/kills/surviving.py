"""Deaths and what has to be the same after them: the finished run is the one that nothing disturbed, bit by bit."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mtquant.store.runs import RunRecord, load_run, unit_of_run
from mtquant.store.units import Unit
from mtquant.tracking.publisher import Publisher
from tests.kills.mortal import DEATH
from tests.tracking.histories import History, histories

REPOSITORY = Path(__file__).parents[2]
ENGINE_ENDS_SECONDS = 300


@dataclass(frozen=True)
class Reference:
    """A run that nothing disturbed, and what MLflow has of it."""

    root: Path
    record: RunRecord
    outputs: dict[str, dict[str, str]]
    metrics: dict[str, dict[str, float]]
    journals: dict[str, list[tuple[int, str]]]
    published: dict[str, History]


def outputs_of(root: Path, record: RunRecord) -> dict[str, dict[str, str]]:
    return {name: unit_of_run(root, record, name).verify().outputs for name in record.units}


def metrics_of(root: Path, record: RunRecord) -> dict[str, dict[str, float]]:
    return {name: unit_of_run(root, record, name).verify().metrics for name in record.units}


def journals_of(root: Path, record: RunRecord) -> dict[str, list[tuple[int, str]]]:
    """Return every unit's journal without its times; as text, for NaN equals itself there."""
    lines = {name: unit_of_run(root, record, name).journal.read() for name in record.units}
    return {name: [(line.step, str(line.metrics)) for line in found] for name, found in lines.items()}


def published(root: Path, record: RunRecord) -> dict[str, History]:
    """Return what MLflow has of every unit after the rest has been published."""
    publisher = Publisher(root)
    found = publisher.publish(record.run_id)
    return {name: without_host(entry) for name, entry in histories(publisher.client, found.parent_id).items()}


def without_host(entry: History) -> History:
    return {key: points for key, points in entry.items() if not key.startswith("system/")}


def execute(root: Path, record: RunRecord) -> int:
    """Run the engine to its end, or to its death; return its exit code."""
    environment = os.environ | {"MTQUANT_STORE": str(root), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "tests.kills.engine", str(root), record.run_id]
    return subprocess.run(command, env=environment, check=False, timeout=ENGINE_ENDS_SECONDS).returncode


def completed(root: Path, run_id: str) -> Reference:
    """Run to the end without a death and return what is there then."""
    assert execute(root, load_run(root, run_id)) == 0
    record = load_run(root, run_id)
    return Reference(
        root,
        record,
        outputs_of(root, record),
        metrics_of(root, record),
        journals_of(root, record),
        published(root, record),
    )


def disturbed(reference: Reference, folder: Path, unit: str, database: Path) -> Path:
    """Return a copy of the store in which `unit` was never begun, and nothing is published."""
    root = folder / "store"
    shutil.copytree(reference.root, root)
    shutil.copy(database, root / "mlflow.db")
    shutil.rmtree(root / "mlartifacts", ignore_errors=True)
    for path in root.rglob("mlflow.json"):
        path.unlink()
    found = unit_of_run(root, reference.record, unit)
    shutil.rmtree(found.folder)
    Unit(root, found.spec).create()
    return root


def survive(reference: Reference, folder: Path, database: Path, death: dict[str, object]) -> None:
    """Kill as told, finish the run, and compare everything with the undisturbed one."""
    root = disturbed(reference, folder, str(death["unit"]), database)
    (root / DEATH).write_text(json.dumps(death))
    record = reference.record
    code = execute(root, record)
    assert not (root / DEATH).exists(), f"nobody died: {death}"
    assert code == (0 if death["victims"] == "child" else -9)
    if code:
        assert execute(root, record) == 0
    assert outputs_of(root, record) == reference.outputs
    assert metrics_of(root, record) == reference.metrics
    assert journals_of(root, record) == reference.journals
    assert published(root, record) == reference.published
    attempts = {name: unit_of_run(root, record, name).attempts() for name in record.units}
    assert attempts.pop(str(death["unit"])) in begun(death)
    assert set(attempts.values()) <= {1}, "finished and untouched units are not begun again"


def begun(death: dict[str, object]) -> tuple[int, ...]:
    """Return the attempts that the unit may have taken; one whose engine dies may still reach its end alone."""
    if death["place"] == "after the marker":
        return (1,)
    if death["victims"] == "parent":
        return (1, 2)
    return (1,) if death["place"] == "first import" else (2,)
