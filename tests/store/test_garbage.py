"""Garbage: what nothing refers to goes, and whatever anything refers to is as it was."""

import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.errors import StoreError
from mtquant.store.digests import digest_json
from mtquant.store.garbage import LOCK, collect, measured, referring, remove, survey
from mtquant.store.locks import holder_of
from mtquant.store.promotions import CHALLENGER, CHAMPION, PROMOTIONS, REGISTERED, Policy, append_assignment
from mtquant.store.references import is_promoted, references
from mtquant.store.runs import create_run, list_runs, load_run, run_folder, run_lock, save_run, unit_of_run
from mtquant.store.snapshot import Snapshot
from mtquant.store.status import run_status
from mtquant.store.units import Unit, UnitSpec

STATES = ("done", "damaged", "stopped", "begun", "none")


def specs_of(dataset: int, one: int, two: int) -> list[UnitSpec]:
    """Return a dataset, a specialist and a meta-controller; each number is one setting of that unit."""
    data = UnitSpec("dataset-market", "dataset", "market", {"kind": "dataset", "config": dataset})
    first = UnitSpec(
        "phase1-forex", "phase1", "forex", {"config": [dataset, one], "upstream": {}}, ("dataset-market",), 10
    )
    second = UnitSpec(
        "phase2-meta",
        "phase2",
        "meta",
        {"config": two, "data": dataset, "upstream": {"phase1-forex": first.key}},
        ("dataset-market", "phase1-forex"),
        10,
    )
    return [data, first, second]


def make(root: Path, specs: list[UnitSpec], state: str) -> None:
    """Bring the units into being, the last one in `state` and those before it done."""
    for spec in specs:
        unit = Unit(root, spec)
        wanted = state if spec is specs[-1] else "done"
        if wanted == "none" or unit.folder.is_dir():
            unit.create()
            continue
        with unit.lock():
            attempt = unit.begin_attempt()
            if wanted == "begun":
                continue
            for step in (2, 4):
                unit.journal.append(step, {"value": 1.0})
                unit.checkpoints.save(step, Snapshot({}, {"step": step}), attempt)
            if wanted in ("done", "damaged"):
                (unit.outputs / "weights").write_text(spec.key)
                consumed = {name: outputs(root, specs, name) for name in spec.upstream}
                unit.finish({"value": 1.0}, {"weights": digest_json(spec.key)}, consumed)
            if wanted == "damaged":
                (unit.outputs / "weights").write_text("")


def outputs(root: Path, specs: list[UnitSpec], name: str) -> dict[str, str]:
    done = Unit(root, next(spec for spec in specs if spec.name == name)).done()
    return done.outputs if done else {}


def run_over(root: Path, specs: list[UnitSpec], state: str = "done") -> str:
    """Record a run over the units and return its name."""
    make(root, specs, state)
    record = create_run(root, ["train"], {}, "direct").with_units(specs)
    save_run(root, record)
    return record.run_id


def promote(root: Path, spec: UnitSpec, run_id: str = "gone", alias: str = CHAMPION) -> None:
    """Let the alias stand on one unit; what it was made from is not named."""
    append_assignment(root, alias, Policy(run_id, "phase2", spec.key, spec.key, {}), REGISTERED)


def unit_folders(root: Path) -> set[str]:
    return {path.name for path in root.glob("units/*")}


def believed(root: Path) -> dict[str, object]:
    """Return all that runs can say of themselves, down to the digests of finished units."""
    found: dict[str, object] = {}
    for run_id in list_runs(root):
        record = load_run(root, run_id)
        for name in record.units:
            unit = unit_of_run(root, record, name)
            try:
                verified = unit.verify()
            except StoreError as error:
                verified = str(error)
            retained = [(entry.step, entry.load()) for entry in unit.checkpoints.retained()]
            found[f"{run_id}/{name}"] = (verified, retained, unit.checkpoints.lost(), unit.journal.read())
        found[run_id] = run_status(root, record)
    return found


SETTINGS = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))
STORIES = st.lists(
    st.tuples(SETTINGS, st.sampled_from(STATES), st.sampled_from(("kept", "removed", "promoted")), st.booleans()),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(STORIES)
def test_whatever_anything_refers_to_is_as_it_was(stories):
    root = Path(tempfile.mkdtemp())
    try:
        needed, offered = set[str](), set[str]()
        for numbers, state, fate, litter in stories:
            specs = specs_of(*numbers)
            run_id = run_over(root, specs, state)
            if fate != "kept":
                remove(run_folder(root, run_id))
            if fate == "promoted":
                promote(root, specs[-1])
            (offered if fate == "removed" else needed).update(spec.folder_name for spec in specs)
            if litter:
                temporary = Unit(root, specs[-1]).checkpoints.root / ".tmp-000000000006-1"
                temporary.mkdir(parents=True, exist_ok=True)
        before = believed(root)
        gone = collect(root, age_seconds=0.0)
        assert believed(root) == before
        assert needed <= unit_folders(root)
        # A damaged promoted unit cannot say which dataset it consumed, so more may stay than has to.
        exact = all(state == "done" or fate != "promoted" for _, state, fate, _ in stories)
        assert not exact or unit_folders(root) == needed
        assert not list(root.glob("units/*/checkpoints/.tmp-*"))
        assert survey(root, age_seconds=0.0).garbage == ()
        assert all(not entry.path.exists() for entry in gone.garbage)
    finally:
        shutil.rmtree(root)


@pytest.fixture
def root(tmp_path):
    return tmp_path


def test_a_survey_changes_nothing_and_says_why(root):
    run_id = run_over(root, specs_of(0, 0, 0))
    remove(run_folder(root, run_id))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    found = survey(root, age_seconds=0.0)
    assert [(entry.kind, entry.reason) for entry in found.garbage] == [
        ("unit", "no run and no promotion refers to it")
    ] * 3
    assert found.size_bytes == sum(measured(path)[0] for path in root.glob("units/*")) > 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_is_young_stays(root):
    remove(run_folder(root, run_over(root, specs_of(0, 0, 0))))
    found = collect(root)
    assert found.garbage == ()
    assert all(entry.reason.startswith("changed ") for entry in found.left)
    assert len(found.left) == 3
    for path in [*root.rglob("*"), root]:
        os.utime(path, (1e9, 1e9))
    folder = Unit(root, specs_of(0, 0, 0)[0]).folder
    os.utime(folder / "outputs" / "weights")
    assert {entry.path.name for entry in collect(root).garbage} == unit_folders_of(0, 0, 0) - {folder.name}


def unit_folders_of(*numbers):
    return {spec.folder_name for spec in specs_of(*numbers)}


def test_a_unit_at_work_stays(root):
    remove(run_folder(root, run_over(root, specs_of(0, 0, 0))))
    unit = Unit(root, specs_of(0, 0, 0)[1])
    with unit.lock():
        found = collect(root, age_seconds=0.0)
        assert [(entry.path, entry.reason) for entry in found.left] == [(unit.folder, "a process holds it")]
    assert unit_folders(root) == {unit.folder.name}
    assert unit.verify()


def test_unknown_files_stay(root):
    remove(run_folder(root, run_over(root, specs_of(0, 0, 0))))
    unit = Unit(root, specs_of(0, 0, 0)[1])
    (unit.folder / "notes.txt").write_text("mine")
    for mine in (root / "notes.txt", root / "units" / "notes.txt", root / "runs" / "own" / "notes.txt"):
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")
    (root / "units" / "mine").mkdir()
    found = collect(root, age_seconds=0.0)
    assert unit_folders(root) == {unit.folder.name, "mine", "notes.txt"}
    assert len(list(root.rglob("notes.txt"))) == 4
    reasons = {entry.path.name: entry.reason for entry in found.left}
    assert "notes.txt" in reasons[unit.folder.name]
    assert "spec.json is missing" in reasons["mine"]


def test_an_unreadable_record_or_promotion_protects_everything(root):
    first, second = run_over(root, specs_of(0, 0, 0)), run_over(root, specs_of(1, 1, 1))
    remove(run_folder(root, second))
    (run_folder(root, first) / "run.json").write_text("{")
    found = collect(root, age_seconds=0.0)
    assert found.garbage == ()
    assert all(f"cannot tell what refers to it: run {first}" in entry.reason for entry in found.left)
    remove(run_folder(root, first))
    (root / PROMOTIONS).write_text("{}\n")
    assert collect(root, age_seconds=0.0).garbage == ()
    assert references(root).problems
    with pytest.raises(StoreError, match="damaged"):
        is_promoted(root, first)
    (root / PROMOTIONS).unlink()
    assert len(collect(root, age_seconds=0.0).garbage) == 6


def test_only_the_newest_challenger_counts_and_every_champion(root):
    runs = {number: run_over(root, specs_of(0, 0, number)) for number in range(4)}
    for number, alias in enumerate((CHALLENGER, CHALLENGER, CHAMPION, CHAMPION)):
        promote(root, specs_of(0, 0, number)[-1], runs[number], alias)
        remove(run_folder(root, runs[number]))
    assert [is_promoted(root, run_id) for run_id in runs.values()] == [False, True, True, True]
    collect(root, age_seconds=0.0)
    metas = {specs_of(0, 0, number)[-1].folder_name for number in (1, 2, 3)}
    assert {name for name in unit_folders(root) if name.startswith("phase2")} == metas


def test_what_a_finished_unit_does_not_need(root):
    specs = specs_of(0, 0, 0)
    run_over(root, specs)
    unit = Unit(root, specs[1])
    attempt = unit.attempts()
    shutil.copytree(unit.checkpoints.root / "000000000002", root / "kept")
    for step in (6, 8):
        unit.checkpoints.save(step, Snapshot({}, {"step": step}), attempt)
    # A process that was killed between writing a checkpoint and retiring the oldest.
    shutil.copytree(root / "kept", unit.checkpoints.root / "000000000002")
    (unit.quarantine_folder / "000000000001-1").mkdir(parents=True)
    dead = f".DONE.json.tmp-{2**22 - 1}"
    (unit.folder / dead).write_text("{")
    (unit.folder / f".mlflow.json.tmp-{os.getpid()}").write_text("{")
    kinds = {entry.path.name: entry.kind for entry in collect(root, age_seconds=0.0).garbage}
    assert kinds == {dead: "temporary", "000000000001-1": "quarantine", "000000000002": "checkpoint"}
    assert unit.verify()
    assert [entry.step for entry in unit.checkpoints.retained()] == [6, 8]


def test_an_unfinished_unit_keeps_what_tells_of_its_past(root):
    specs = specs_of(0, 0, 0)
    run_over(root, specs, "stopped")
    unit = Unit(root, specs[-1])
    for step in (2, 4):
        (unit.checkpoints.root / f"{step:012d}" / "values.json").write_text("damaged")
    with pytest.warns(UserWarning, match="damaged"):
        assert unit.checkpoints.latest() is None
    assert collect(root, age_seconds=0.0).garbage == ()
    assert unit.checkpoints.lost() == 2, "the next attempt has to say that it starts again from zero"


def test_leftovers_of_runs(root):
    removed = run_over(root, specs_of(0, 0, 0))
    (run_folder(root, removed) / "run.json").unlink()
    alive = create_run(root, ["train"], {}, "direct").run_id
    (run_folder(root, alive) / f".run.json.tmp-{2**22 - 1}").write_text("{")
    with run_lock(root, alive):
        found = collect(root, age_seconds=0.0)
    assert [entry.path.name for entry in found.garbage if entry.kind == "run"] == [removed]
    assert f".run.json.tmp-{2**22 - 1}" in {entry.path.name for entry in found.left}
    assert list_runs(root) == [alive]


@pytest.mark.parametrize("survivors", range(7))
def test_an_interrupted_removal_lies_at_no_instant(root, survivors, monkeypatch):
    specs = specs_of(0, 0, 0)
    remove(run_folder(root, run_over(root, specs)))
    unit, removed = Unit(root, specs[1]), 0

    def limited(original):
        def act(path, *arguments, **options):
            nonlocal removed
            if removed == survivors:
                raise OSError(5, "killed here")
            removed += 1
            return original(path, *arguments, **options)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", limited(Path.unlink))
        patch.setattr(shutil, "rmtree", limited(shutil.rmtree))
        with pytest.raises(StoreError, match="killed here"):
            remove(unit.folder)
    if survivors:
        assert unit.done() is None
        assert unit.checkpoints.verify() == []
    else:
        assert unit.verify()
    make(root, specs, "done")
    run_id = run_over(root, specs)
    assert unit_of_run(root, load_run(root, run_id), "phase1-forex").spec == specs[1]
    remove(run_folder(root, run_id))
    collect(root, age_seconds=0.0)
    assert unit_folders(root) == set()


def test_no_run_begins_to_refer_to_a_unit_meanwhile(root):
    remove(run_folder(root, run_over(root, specs_of(0, 0, 0))))
    with referring(root):
        thread = threading.Thread(target=collect, args=(root, 0.0))
        thread.start()
        run_over(root, specs_of(0, 0, 0))
        assert holder_of(root / LOCK) is None, "several may be preparing at once"
    thread.join()
    assert unit_folders(root) == unit_folders_of(0, 0, 0)


def test_an_empty_store_has_no_garbage(tmp_path):
    assert survey(tmp_path / "nothing") == collect(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
