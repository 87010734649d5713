"""The plan: what of a run is to be done, from which step, and whether it says why."""

import shutil

import pytest

from mtquant.config.agents import INSTRUMENTS
from mtquant.pipeline import plan, units_of
from mtquant.store.explanation import explain
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import Unit
from tests.test_pipeline import DIGESTS, SPEC, same_code, with_setting


@pytest.fixture(autouse=True)
def fixed_code(monkeypatch):
    monkeypatch.setattr("mtquant.pipeline.code_versions", same_code)


def finish_all(root, spec=SPEC, digests=DIGESTS):
    for description in units_of(spec, digests):
        unit = Unit(root, description)
        unit.create()
        unit.begin_attempt()
        unit.finish({}, {})


def states(root, spec=SPEC, digests=DIGESTS):
    return {unit.spec.name: unit.state for unit in plan(spec, digests, root)}


def reasons(root, spec=SPEC, digests=DIGESTS):
    return {unit.spec.name: unit.reason for unit in plan(spec, digests, root) if unit.state == "run"}


def test_the_plan_of_an_empty_store_changes_nothing(tmp_path):
    assert set(reasons(tmp_path).values()) == {"new"}
    assert list(tmp_path.iterdir()) == []


def test_the_plan_reuses_what_is_finished_and_names_what_changed(tmp_path):
    finish_all(tmp_path)
    assert set(states(tmp_path).values()) == {"reuse"}
    longer = with_setting("phase3.timesteps", 2000)
    assert reasons(tmp_path, longer) == {
        "phase3-joint": "phase3.timesteps 1000000 -> 2000",
        "phase3-no-peers": "phase3.timesteps 1000000 -> 2000",
        "evaluate-report": "upstream phase3-joint, phase3-no-peers change",
        "export-onnx": "upstream phase3-joint changes",
    }
    found = reasons(tmp_path, digests=DIGESTS | {"EURUSD": "other"})
    assert found["phase1-forex"] == found["dataset-market"] == "data of EURUSD changed"
    assert found["phase2-meta"] == "data of EURUSD changed; upstream phase1-forex changes"


def test_the_plan_names_changed_code(tmp_path, monkeypatch):
    finish_all(tmp_path)
    monkeypatch.setattr(
        "mtquant.pipeline.code_versions",
        lambda names: {name: "new" if name == "mtquant.sim" else "same" for name in names} | {"torch": "3"},
    )
    found = reasons(tmp_path)
    assert found["phase1-forex"] == "code of mtquant.sim changed; torch 2 -> 3"
    assert found["dataset-market"] == "torch 2 -> 3"


def test_the_nearest_unit_explains(tmp_path):
    finish_all(tmp_path, with_setting("phase3.n_envs", 4))
    finish_all(tmp_path)
    longer = with_setting("phase3.timesteps", 2000)
    assert reasons(tmp_path, longer)["phase3-joint"] == "phase3.timesteps 1000000 -> 2000"


def test_one_instrument_less_is_one_line(tmp_path):
    finish_all(tmp_path)
    without = tuple(symbol for symbol in INSTRUMENTS if symbol not in ("GBPUSD", "US30"))
    found = reasons(tmp_path, with_setting("environment.instruments", without))
    assert found["dataset-market"] == "instruments without GBPUSD, US30; data of GBPUSD, US30 changed"
    shrunk = "widths.largest_group 3 -> 2"
    assert found["phase1-forex"] == f"{shrunk}; instruments without GBPUSD; data of GBPUSD changed"
    assert "phase1-commodities" not in {name for name, reason in found.items() if "GBPUSD" in reason}
    back = explain(*(unit.inputs for unit in two_datasets(without, INSTRUMENTS)))
    assert back == ("instruments with GBPUSD, US30", "data of GBPUSD, US30 changed")
    turned = explain(*(unit.inputs for unit in two_datasets(INSTRUMENTS, INSTRUMENTS[::-1])))
    assert turned == ("order of the instruments changed",)


def two_datasets(*traded):
    """Return the dataset unit over each list of instruments."""
    specs = [
        SPEC.model_copy(update={"environment": SPEC.environment.model_copy(update={"instruments": t})}) for t in traded
    ]
    return [units_of(spec, DIGESTS)[0] for spec in specs]


def begun(root, *steps):
    """Return the stored forex specialist as it is after checkpoints at `steps`, without a result."""
    finish_all(root)
    unit = {unit.name: Unit(root, unit) for unit in units_of(SPEC, DIGESTS)}["phase1-forex"]
    (unit.folder / "DONE.json").unlink()
    for step in steps:
        unit.journal.append(step, {})
        unit.checkpoints.save(step, Snapshot({}, {"step": step}), 1)
    return unit


def planned_forex(root):
    found = {unit.spec.name: unit for unit in plan(SPEC, DIGESTS, root)}
    assert {unit.state for name, unit in found.items() if name != "phase1-forex"} == {"reuse"}
    forex = found["phase1-forex"]
    return forex.state, forex.step, forex.reason


def test_an_interrupted_unit_continues(tmp_path):
    begun(tmp_path, 640)
    assert planned_forex(tmp_path) == ("continue", 640, "stopped; a checkpoint is at step 640")


def test_a_unit_without_a_checkpoint_runs(tmp_path):
    unit = begun(tmp_path)
    assert planned_forex(tmp_path) == ("run", 0, "begun before, without a checkpoint")
    with unit.lock():
        assert planned_forex(tmp_path)[2].startswith("is being made by pid ")
    shutil.rmtree(unit.folder / "attempts")
    assert planned_forex(tmp_path) == ("run", 0, "named by a run before, not begun")


def test_a_torn_checkpoint_is_not_counted_on(tmp_path):
    unit = begun(tmp_path, 640, 1280)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    damage(unit.checkpoints.root / "000000001280" / "values.json")
    assert planned_forex(tmp_path) == (
        "continue",
        640,
        "stopped; a checkpoint is at step 640; the one at step 1,280 is damaged",
    )
    damage(unit.checkpoints.root / "000000000640" / "values.json")
    lost = ("run", 0, "stopped; all 2 checkpoints are damaged, so it starts from step 0")
    assert planned_forex(tmp_path) == lost
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}.keys() == before.keys()
    with pytest.warns(UserWarning, match="moved"):
        assert unit.checkpoints.latest() is None
    assert planned_forex(tmp_path) == lost, "set aside by an attempt, they are still told"


def damage(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("harm", ["marker", "cut", "flipped", "missing"])
def test_a_damaged_result_is_made_again(tmp_path, harm):
    unit = begun(tmp_path, 640)
    weights = unit.outputs / "weights"
    weights.write_bytes(b"123456")
    unit.finish({}, {"weights": "d"})
    assert planned_forex(tmp_path)[0] == "reuse"
    match harm:
        case "marker":
            (unit.folder / "DONE.json").write_text("{}")
        case "cut":
            weights.write_bytes(b"123")
        case "flipped":
            weights.write_bytes(b"123457")
        case "missing":
            weights.unlink()
    state, step, reason = planned_forex(tmp_path)
    assert (state, step) == ("continue", 640)
    assert reason.startswith("damaged: ")
    shutil.rmtree(unit.checkpoints.root)
    assert planned_forex(tmp_path)[:2] == ("run", 0)
