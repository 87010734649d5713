"""Eight runs at once against one SQLite database that does not exist yet: nobody meets a lock."""

import os
import subprocess
import sys

import pytest

from mtquant.store.runs import create_run, run_folder, save_run
from mtquant.store.units import Unit, UnitSpec
from mtquant.tracking.location import lock_path
from mtquant.tracking.publisher import Publisher
from tests.tracking.conftest import begin, checkpoint, grow
from tests.tracking.histories import histories

RUNS, LINES = 8, 12


def make_run(root, place):
    """Return a run of one unit that has measured two lines."""
    spec = UnitSpec("phase1-forex", "phase1", "forex", {"config": {}, "seed": place}, (), 10 * LINES)
    record = create_run(root, ["train"], {"seed": place}, "direct").with_units([spec])
    save_run(root, record)
    Unit(root, spec).create()
    unit = begin(root, spec, lines=2)
    checkpoint(unit)
    return record, unit


@pytest.mark.slow
def test_eight_runs_of_two_stores_share_a_cold_database(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    stores = [tmp_path / "a", tmp_path / "b"]
    made = [make_run(stores[place % 2], place) for place in range(RUNS)]
    followers = [follow(stores[place % 2], record) for place, (record, _) in enumerate(made)]
    for lines in range(3, LINES + 1):
        for _, unit in made:
            grow(unit, lines)
            checkpoint(unit)
    for _, unit in made:
        unit.finish({"utility": 0.5}, {})
    codes = [end(process) for process in followers]
    logs = [
        (run_folder(stores[place % 2], record.run_id) / "tracking.log").read_text()
        for place, (record, _) in enumerate(made)
    ]
    assert codes == [0] * RUNS, logs
    for text in logs:
        assert "locked" not in text
        assert "not published" not in text
    publisher = Publisher(stores[0])
    steps = [10 * line for line in range(1, LINES + 1)]
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    parents = publisher.client.search_runs(experiments, "tags.`mtquant.kind` = 'run'")
    assert sorted(run.info.run_name for run in parents) == sorted(record.run_id for record, _ in made)
    for parent in parents:
        found = histories(publisher.client, parent.info.run_id)
        assert [step for step, _ in found["phase1-forex"]["reward"]] == steps
        assert parent.info.status == "FINISHED"


def follow(root, record):
    """Start the publisher of a run as `train` does."""
    with (run_folder(root, record.run_id) / "tracking.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mtquant.tracking", "--run", record.run_id, "--follow"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | {"MTQUANT_STORE": str(root)},
        )


def end(process):
    """Let a publisher publish once more and return its exit code."""
    process.stdin.close()
    return process.wait(timeout=300)


def test_writers_to_one_database_share_its_lock(tmp_path):
    uri = f"sqlite:///{tmp_path}/shared.db"
    assert lock_path(tmp_path / "a", uri) == lock_path(tmp_path / "b", uri) == tmp_path / "shared.lock"
    assert lock_path(tmp_path / "a", "http://host:5000") == tmp_path / "a" / "mlflow.lock"
    own = f"sqlite:///{tmp_path}/a/mlflow.db"
    assert lock_path(tmp_path / "a", own) == tmp_path / "a" / "mlflow.lock"
