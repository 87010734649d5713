"""Runs: recorded at once, found by a beginning of their name, described by their units' folders."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mtquant.errors import StoreError, UsageError
from mtquant.store.runs import (
    append_event,
    begin_lock,
    create_run,
    list_runs,
    load_run,
    new_run_id,
    read_events,
    run_folder,
    run_lock,
    save_run,
    unit_of_run,
)
from mtquant.store.status import UnitError, read_error, run_status, write_error
from mtquant.store.units import Unit, UnitSpec

SPECS = tuple(UnitSpec(f"phase1-{g}", "phase1", g, {"g": g}, (), 100) for g in ("forex", "equity"))


@pytest.fixture
def record(tmp_path):
    made = create_run(tmp_path, ["train"], {"seed": 0}, "direct").with_units(SPECS)
    save_run(tmp_path, made)
    for spec in SPECS:
        Unit(tmp_path, spec).create()
    return made


def states(root, record):
    return {unit.name: unit.state for unit in run_status(root, record).units}


def test_names_sort_by_time():
    early, late = datetime(2026, 11, 21, 7, 15, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    assert new_run_id(early).startswith("20261121-071500-")
    assert new_run_id(early) < new_run_id(late)


def test_the_record_comes_back(tmp_path, record):
    assert load_run(tmp_path, record.run_id) == record
    assert load_run(tmp_path) == record
    assert load_run(tmp_path, record.run_id[:-2]) == record
    assert list_runs(tmp_path) == [record.run_id]


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody may write to")
def test_a_store_that_cannot_be_written_is_refused_with_advice():
    with pytest.raises(StoreError, match=r"/sys/.*set MTQUANT_STORE to a folder"):
        create_run(Path("/sys/mtquant"), [], {}, "direct")


def test_unknown_and_ambiguous_names_are_refused(tmp_path, record):
    with pytest.raises(UsageError, match="not known"):
        load_run(tmp_path, "1999")
    newest = create_run(tmp_path, [], {}, "direct")
    assert load_run(tmp_path) == newest
    with pytest.raises(UsageError, match="fits 2 runs"):
        load_run(tmp_path, "2")
    with pytest.raises(UsageError, match="no run in"):
        load_run(tmp_path / "empty")


def test_a_damaged_record_is_an_error(tmp_path, record):
    (run_folder(tmp_path, record.run_id) / "run.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        load_run(tmp_path, record.run_id)


def test_units_of_a_run(tmp_path, record):
    assert unit_of_run(tmp_path, record, "phase1-forex").spec == SPECS[0]
    with pytest.raises(UsageError, match="Did you mean `phase1-forex`"):
        unit_of_run(tmp_path, record, "phase1-fore")


def test_events_survive_torn_lines(tmp_path, record):
    append_event(tmp_path, record.run_id, "started", unit="a")
    with (run_folder(tmp_path, record.run_id) / "events.jsonl").open("a") as file:
        file.write('{"torn\n')
    append_event(tmp_path, record.run_id, "ended", unit="a")
    assert [(e["event"], e["unit"]) for e in read_events(tmp_path, record.run_id)] == [("started", "a"), ("ended", "a")]


def test_status_follows_the_folders(tmp_path, record):
    forex, equity = (Unit(tmp_path, spec) for spec in SPECS)
    assert states(tmp_path, record) == {"phase1-forex": "waiting", "phase1-equity": "waiting"}
    assert run_status(tmp_path, record).state == "dead"
    with run_lock(tmp_path, record.run_id), forex.lock():
        attempt = forex.begin_attempt()
        forex.journal.append(40, {})
        status = run_status(tmp_path, record)
        assert status.state == "running"
        assert (status.units[0].state, status.units[0].step, status.units[0].total_steps) == ("running", 40, 100)
        assert status.units[0].holder.pid == os.getpid()
    assert states(tmp_path, record)["phase1-forex"] == "dead"
    write_error(forex, UnitError(attempt, 75, "Preempted", "stopped", False))
    assert run_status(tmp_path, record).state == "stopped"
    write_error(forex, UnitError(attempt, 7, "TrainingError", "NaN", False))
    assert run_status(tmp_path, record).state == "failed"
    assert read_error(forex).message == "NaN"
    forex.begin_attempt()
    assert read_error(forex) is None, "an error of an earlier attempt says nothing of this one"
    for unit in (forex, equity):
        unit.finish({}, {})
    assert run_status(tmp_path, record).state == "done"
    assert run_status(tmp_path, record).units[0].step == 100
    (forex.folder / "DONE.json").write_text("{}")
    assert states(tmp_path, record)["phase1-forex"] == "damaged"


def test_a_run_is_preparing_until_its_engine_has_begun(tmp_path, record):
    with begin_lock(tmp_path, record.run_id):
        status = run_status(tmp_path, record)
        assert (status.state, status.holder.pid) == ("preparing", os.getpid())
        with run_lock(tmp_path, record.run_id):
            assert run_status(tmp_path, record).state == "running"
    assert run_status(tmp_path, record).state == "dead"


def test_recording_a_run_imports_nothing_heavy():
    code = (
        "import sys, mtquant.store.runs, mtquant.store.status; print([m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'pandas', 'prefect', 'mlflow', 'scipy', 'gymnasium')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
