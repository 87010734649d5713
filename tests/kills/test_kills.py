"""The kill matrix: wherever a process is killed, the finished run is the one that nothing disturbed, bit by bit.

Each seed draws a phase, a place, a moment and who dies; `pytest -m slow` runs 200 of them.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtquant.execution.preparation import prepare_run, record_run
from mtquant.store.runs import RunRecord, load_run, unit_of_run
from mtquant.store.units import Unit
from mtquant.tracking.publisher import Publisher
from tests.execution.real import small_spec
from tests.kills.mortal import DEATH
from tests.tracking.histories import History, histories

REPOSITORY = Path(__file__).parents[2]
PHASES = ("phase1-equity", "phase2-meta", "phase3-joint")
LONGEST = {"phase1-equity": (120, 24), "phase2-meta": (160, 12), "phase3-joint": (60, 12)}
"""Calls of `advance` and of `backward` that surely happen in each phase's training."""
PLACES = (
    "first import",
    "rollout",
    "update",
    "journal",
    "files and manifest",
    "manifest and rename",
    "rename and retirement",
    "outputs",
    "marker",
    "after the marker",
)
VICTIMS = ("child", "parent", "both")
ENGINE_ENDS_SECONDS = 120


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


@pytest.fixture(scope="module")
def reference(tmp_path_factory, empty_database) -> Reference:
    root = tmp_path_factory.mktemp("reference")
    shutil.copy(empty_database, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        # An edit of the code while the tests run must not look like a defect.
        patch.setattr("mtquant.pipeline.code_versions", lambda names: dict.fromkeys(names, "same"))
        spec = small_spec()
        spec = spec.model_copy(
            update={
                "phase2": spec.phase2.model_copy(update={"timesteps": 240}),
                "phase3": spec.phase3.model_copy(update={"timesteps": 400}),
            }
        )
        run = prepare_run(root, record_run(root, spec, ["train"], "direct", ["phase3-joint"]))
    assert execute(root, run.record) == 0
    record = load_run(root, run.record.run_id)
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


def drawn(seed: int) -> dict[str, object]:
    """Return the death of a seed; phases and places take turns, the moment and the victims are random."""
    choice = random.Random(seed)
    unit = PHASES[(seed + seed // len(PLACES)) % len(PHASES)]
    place = PLACES[seed % len(PLACES)]
    advances, backwards = LONGEST[unit]
    longest = {"rollout": advances, "update": backwards}.get(place, 3)
    return {"unit": unit, "place": place, "count": choice.randint(1, longest), "victims": choice.choice(VICTIMS)}


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
    assert set(attempts.values()) == {1}, "finished and untouched units are not begun again"


def begun(death: dict[str, object]) -> tuple[int, ...]:
    """Return the attempts that the unit may have taken; one whose engine dies may still reach its end alone."""
    if death["place"] == "after the marker":
        return (1,)
    if death["victims"] == "parent":
        return (1, 2)
    return (1,) if death["place"] == "first import" else (2,)


def test_the_reference_has_whole_curves(reference):
    assert set(reference.published) == set(reference.record.units)
    for name in PHASES:
        curves = reference.published[name]
        steps = [step for step, _ in reference.journals[name]]
        assert len(steps) >= 3
        assert any([step for step, _ in points] == steps for points in curves.values())
        for points in curves.values():
            assert len({step for step, _ in points}) == len(points), "a point was published twice"


@pytest.mark.parametrize("seed", range(10))
def test_a_kill_changes_nothing(reference, tmp_path, empty_database, seed):
    survive(reference, tmp_path, empty_database, drawn(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 200))
def test_no_kill_changes_anything(reference, tmp_path, empty_database, seed):
    survive(reference, tmp_path, empty_database, drawn(seed))


def test_the_seeds_cover_the_matrix():
    drawn_deaths = [drawn(seed) for seed in range(200)]
    assert {(d["unit"], d["place"]) for d in drawn_deaths} == {(u, p) for u in PHASES for p in PLACES}
    assert {d["victims"] for d in drawn_deaths} == set(VICTIMS)
    first = [drawn(seed) for seed in range(10)]
    assert {d["place"] for d in first} == set(PLACES)
    assert {d["unit"] for d in first} == set(PHASES)
