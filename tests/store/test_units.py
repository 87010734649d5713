"""Units: keys, attempts, the marker of completion and what is done about damage."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.errors import LockedError, StoreError
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import Unit, UnitHandle, UnitSpec, read_spec, stored_units

SPEC = UnitSpec(
    "phase1-forex", "phase1", "forex", {"schema": 1, "seed": 0, "config": {"a": [1, 2]}}, ("dataset-market",), 100
)


@pytest.fixture
def unit(tmp_path):
    made = Unit(tmp_path, SPEC)
    made.create()
    return made


def handle(unit, attempt=1, seconds=10.0, clock=lambda: 0.0):
    return UnitHandle(unit, Streams(0), attempt, seconds, clock=clock)


def completed(unit):
    unit.begin_attempt()
    (unit.outputs / "forex").mkdir()
    (unit.outputs / "forex/weights").write_bytes(b"abc")
    unit.finish(
        {"sharpe": 1.5, "undefined": float("nan")}, {"forex/weights": "00"}, {"dataset-market": {"x": "11"}}, 2.0
    )
    return unit


def test_the_key_is_over_the_inputs_only():
    assert replace(SPEC, name="other", total_steps=1, upstream=()).key == SPEC.key
    assert replace(SPEC, inputs=SPEC.inputs | {"seed": 1}).key != SPEC.key
    assert SPEC.folder_name == f"phase1-forex-{SPEC.key[:12]}"


def test_the_description_comes_back_and_damage_is_seen(unit):
    assert read_spec(unit.folder) == SPEC
    assert [found.spec for found in stored_units(unit.root)] == [SPEC]
    path = unit.folder / "spec.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(StoreError, match="damaged"):
        read_spec(unit.folder)
    assert stored_units(unit.root) == []


def test_done_comes_back(unit):
    assert unit.done() is None
    done = completed(unit).verify()
    assert (done.unit_key, done.attempts, done.metrics["sharpe"], done.outputs) == (
        SPEC.key,
        1,
        1.5,
        {"forex/weights": "00"},
    )
    assert np.isnan(done.metrics["undefined"])
    assert done.consumed == {"dataset-market": {"x": "11"}}
    assert set(done.files) == {"forex/weights"}
    written = json.loads((unit.folder / "DONE.json").read_text())
    assert {"unit_key", "attempts", "metrics", "outputs"} <= set(written)


@pytest.mark.parametrize("name", ["DONE.json", "outputs/forex/weights"])
@pytest.mark.parametrize("damage", ["short", "flipped"])
def test_damaged_completion_is_no_success(unit, name, damage):
    path = completed(unit).folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content[:-1] if damage == "short" else content))
    with pytest.raises(StoreError, match="mtquant resume"):
        unit.verify()
    unit.set_aside()
    assert unit.done() is None
    assert len(list(unit.quarantine_folder.iterdir())) == 2


def test_an_attempt_starts_from_the_checkpoint_and_clears_the_rest(unit):
    assert unit.begin_attempt() == 1
    work = handle(unit)
    work.log(1, {"a": 1.0})
    work.save_checkpoint(1, Snapshot({"w": np.ones(2)}, {"n": 1}))
    work.log(2, {"a": 2.0})
    (unit.outputs / "half").write_text("")
    (unit.folder / "checkpoints/.tmp-000000000002-1").mkdir()
    assert unit.begin_attempt() == 2
    assert [line.step for line in unit.journal.read()] == [1]
    assert list(unit.outputs.iterdir()) == []
    assert [path.name for path in (unit.folder / "checkpoints").iterdir()] == ["000000000001"]
    step, state = handle(unit, 2).load_checkpoint()
    assert (step, state.values) == (1, {"n": 1})


def test_without_a_checkpoint_the_journal_starts_anew(unit):
    unit.begin_attempt()
    handle(unit).log(1, {"a": 1.0})
    unit.begin_attempt()
    assert unit.journal.read() == []
    assert handle(unit).load_checkpoint() is None


def test_a_taken_attempt_number_is_not_taken_twice(unit):
    assert [unit.begin_attempt() for _ in range(3)] == [1, 2, 3]
    assert unit.attempts() == 3


def test_two_cannot_hold_a_unit(unit):
    with unit.lock():
        assert unit.holder() is not None
        with pytest.raises(LockedError, match="The unit phase1-forex is held by pid"), unit.lock():
            raise AssertionError("entered")
    assert unit.holder() is None


def test_a_clash_of_short_keys_is_refused(unit, tmp_path):
    text = (unit.folder / "spec.json").read_text()
    other = replace(SPEC, inputs={"other": 1})
    target = Unit(tmp_path, other)
    target.folder.mkdir()
    (target.folder / "spec.json").write_text(text)
    with pytest.raises(StoreError, match="another unit"):
        target.create()


def test_checkpoints_are_due_by_the_clock(unit):
    unit.begin_attempt()
    times = [100.0]
    work = handle(unit, clock=lambda: times[0])
    assert not work.checkpoint_due()
    times[0] = 110.0
    assert work.checkpoint_due()
    work.save_checkpoint(1, Snapshot({}, {}))
    assert not work.checkpoint_due()
    assert handle(unit, seconds=0.0).checkpoint_due()
