"""`resume --from` and `--no-restart`, and `verify`."""

import json

import pytest

from mtquant.store.runs import load_run, read_events, unit_of_run
from tests.cli.conftest import UNITS
from tests.cli.test_train import attempts


@pytest.mark.parametrize(
    ("start", "again"),
    [("2", UNITS[4:]), ("phase1", UNITS[1:]), ("evaluate", ("evaluate-report",)), ("export", ("export-onnx",))],
)
def test_from_makes_a_phase_and_what_reads_it_again(finished, start, again):
    before = {name: unit_of_run(finished.root, load_run(finished.root), name).done().outputs for name in UNITS}
    ended = finished("resume", "--from", start)
    assert (ended.code, ended.err) == (0, "")
    assert attempts(finished.root) == {name: 1 + (name in again) for name in UNITS}
    after = {name: unit_of_run(finished.root, load_run(finished.root), name).done().outputs for name in UNITS}
    assert after == before
    started = [event for event in read_events(finished.root, load_run(finished.root).run_id) if "pid" in event]
    assert {event["unit"] for event in started[-len(again) :]} == set(again)


@pytest.mark.parametrize("start", ["4", "phase9", "meta"])
def test_from_names_what_there_is(finished, start):
    ended = finished("resume", "--from", start)
    assert ended.code == 2
    assert f"no phase `{start}`; it has dataset, phase1, phase2, phase3, evaluate, export" in ended.err
    assert attempts(finished.root) == dict.fromkeys(UNITS, 1)


def test_damaged_checkpoints_end_a_resume_that_may_not_restart(finished):
    record = load_run(finished.root)
    unit = unit_of_run(finished.root, record, "phase2-meta")
    unit.set_aside()
    for path in unit.checkpoints.root.glob("*/values.json"):
        path.write_bytes(b"")
    ended = finished("resume", "--no-restart")
    assert ended.code == 5
    assert "checkpoints of phase2-meta are damaged" in ended.err
    assert finished("resume").code == 0
    assert unit.done() is not None
    assert "starts again from step 0" in finished("status").out


def test_verify_looks_at_every_unit_of_a_run(finished, monkeypatch):
    monkeypatch.setattr("mtquant.cli.verify.COMMAND", _toys())
    record = load_run(finished.root)
    ended = finished("verify")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split(":")[0] for line in ended.out.splitlines()] == list(UNITS)
    assert finished("verify", record.run_id[:12], "phase2-meta").out.startswith("phase2-meta: its files are")
    found = json.loads(finished("verify", "phase2-meta", "phase1-forex", "--full", "--json").out)
    assert [(entry["unit"], entry["message"]) for entry in found] == [
        ("phase2-meta", "equal"),
        ("phase1-forex", "equal"),
    ]


def test_verify_ends_with_8_where_something_is_damaged(finished, monkeypatch):
    monkeypatch.setattr("mtquant.cli.verify.COMMAND", _toys())
    path = unit_of_run(finished.root, load_run(finished.root), "phase3-joint").outputs / "weights.json"
    path.write_text("phase3-jolnt")
    ended = finished("verify", "phase3-joint", "export-onnx")
    assert ended.code == 8
    assert "weights.json is damaged" in ended.out
    assert "export-onnx: its files are" in ended.out
    assert "phase3-joint: not what was recorded" in ended.err
    assert finished("verify", "phase9").code == 2


def _toys():
    import sys

    return (sys.executable, "-m", "tests.cli.verifying")
