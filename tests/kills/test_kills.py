"""The kill matrix: wherever a process is killed, the finished run is the one that nothing disturbed, bit by bit.

Each seed draws a phase, a place, a moment and who dies; `pytest -m slow` runs 200 of them.
"""

import random
import shutil

import pytest

from mtquant.execution.preparation import prepare_run, record_run
from tests.execution.real import small_spec
from tests.kills.surviving import Reference, completed, survive

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
    return completed(root, run.record.run_id)


def drawn(seed: int) -> dict[str, object]:
    """Return the death of a seed; phases and places take turns, the moment and the victims are random."""
    choice = random.Random(seed)
    unit = PHASES[(seed + seed // len(PLACES)) % len(PHASES)]
    place = PLACES[seed % len(PLACES)]
    advances, backwards = LONGEST[unit]
    longest = {"rollout": advances, "update": backwards}.get(place, 3)
    return {"unit": unit, "place": place, "count": choice.randint(1, longest), "victims": choice.choice(VICTIMS)}


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
