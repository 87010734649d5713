"""`status`, `runs` and `logs` tell what the store holds."""

import json

from mtquant.store.runs import load_run, unit_of_run
from mtquant.store.status import UnitError, write_error
from tests.cli.conftest import UNITS


def test_status_of_a_finished_run(finished):
    ended = finished("status", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["state"], found["tracking_pending"][:9]) == (0, "done", list(UNITS))
    assert [unit["name"] for unit in found["units"]] == list(UNITS)
    assert {unit["state"] for unit in found["units"]} == {"done"}
    text = finished("status").out
    assert f"run {load_run(finished.root).run_id}: done" in text
    assert "results are not in MLflow yet" in text
    assert "resume with" not in text


def test_status_says_how_to_go_on(finished):
    record = load_run(finished.root)
    unit = unit_of_run(finished.root, record, "phase2-meta")
    (unit.folder / "DONE.json").unlink()
    write_error(unit, UnitError(1, 75, "Preempted", "Stopped at step 40.", False))
    text = finished("status").out
    assert f"run {record.run_id}: stopped" in text
    assert "Stopped at step 40." in text
    assert f"resume with: mtquant resume {record.run_id}" in text


def test_logs_of_one_unit_or_all(finished):
    one = finished("logs", load_run(finished.root).run_id, "phase1-forex").out
    assert "attempt 1 of phase1-forex starts at step 0" in one
    every = finished("logs").out
    assert all(f"{name}: " in every for name in UNITS)
    assert finished("logs", load_run(finished.root).run_id, "phase1-fore").code == 2
    assert finished("logs", load_run(finished.root).run_id, "--follow").code == 0, "a finished run ends the waiting"


def test_without_any_run_the_way_on_is_said(cli):
    for command in (["status"], ["resume"], ["logs"], ["runs", "show"], ["sync"]):
        ended = cli(*command)
        assert (ended.code, "Start one with `mtquant train`" in ended.err) == (2, True)
    assert "Start one with `mtquant train`" in cli("runs", "list").out
