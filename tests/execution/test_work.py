"""The real kinds of work: a small pipeline from bars to joint agents, killed and continued exactly."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mtquant.data.dataset import Dataset
from mtquant.errors import DataError
from mtquant.execution.attempt import run_attempt
from mtquant.execution.direct import run_direct
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.sources import open_source
from mtquant.execution.supervisor import Supervisor
from mtquant.execution.work import WORK
from mtquant.store.runs import save_run
from mtquant.store.units import Unit
from tests.execution.real import small_spec
from tests.execution.test_sources import other_bars
from tests.execution.test_unit import wait_for

TRAINED = (
    "dataset-market",
    "phase1-forex",
    "phase1-commodities",
    "phase1-equity",
    "phase2-meta",
    "phase3-joint",
    "phase3-no-peers",
)


def prepared(root, targets=("phase3-joint", "phase3-no-peers"), spec=None):
    """Return a recorded and prepared run of the small pipeline."""
    return prepare_run(root, record_run(root, spec or small_spec(), ["train"], "direct", targets))


def outputs(root, run):
    """Return what each unit produced."""
    return {unit.name: done.outputs for unit in run.units if (done := Unit(root, unit).verify())}


@pytest.fixture(scope="module", autouse=True)
def fixed_code():
    """Let the code have one digest, so that an edit while the tests run does not look like a defect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtquant.pipeline.code_versions", lambda names: dict.fromkeys(names, "same"))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store in which the small pipeline ran undisturbed, in this process."""
    root = tmp_path_factory.mktemp("store")
    run = prepared(root)
    for unit in run.units:
        run_attempt(root, run.record.run_id, unit.name, WORK)
    return root, run


def test_every_trained_unit_names_its_weights(finished):
    root, run = finished
    found = outputs(root, run)
    assert tuple(found) == TRAINED
    assert set(found["phase1-forex"]) == {"forex/weights", "history"}
    assert set(found["phase2-meta"]) == {"meta/weights", "history"}
    agents = {"forex/weights", "commodities/weights", "equity/weights", "meta/weights", "curriculum", "history"}
    assert set(found["phase3-joint"]) == set(found["phase3-no-peers"]) == agents
    assert found["phase3-joint"] != found["phase3-no-peers"], "the control must not see peers"
    assert {name for name in found["dataset-market"] if name.startswith("dataset/features")}
    for unit in run.units[1:]:
        steps = [line.step for line in Unit(root, unit).journal.read()]
        assert steps[-1] == unit.total_steps
        assert steps == sorted(set(steps))


def test_the_dataset_is_what_the_source_gives(finished):
    root, run = finished
    loaded = Dataset.load(Unit(root, run.units[0]).outputs / "dataset")
    fresh = open_source(run.spec).dataset(run.spec)
    assert loaded.market.fingerprint == fresh.market.fingerprint
    np.testing.assert_array_equal(loaded.features, fresh.features)


def test_a_killed_process_continues_to_the_same_weights(finished, tmp_path):
    root, run = finished
    again = prepared(tmp_path, ["phase1-equity"])
    assert [unit.key for unit in again.units] == [
        unit.key for unit in run.units if unit.name in ("dataset-market", "phase1-equity")
    ]
    unit = Unit(tmp_path, again.units[1])
    command = [sys.executable, "-m", "mtquant.execution.unit", "--run", again.record.run_id, "--unit"]
    supervisor = Supervisor(tmp_path, again.record.run_id, backoff_seconds=0.01)
    run_attempt(tmp_path, again.record.run_id, "dataset-market", WORK)
    environment = supervisor.environment()
    process = subprocess.Popen([*command, "phase1-equity"], env=environment, stdout=subprocess.DEVNULL)
    wait_for(unit.checkpoints.newest_step)
    process.kill()
    process.wait()
    assert unit.done() is None
    run_direct(supervisor, again.units, tick_seconds=0.02)
    assert unit.done().attempts == 2
    assert unit.done().outputs == outputs(root, run)["phase1-equity"]


def test_other_groups_do_not_enter_a_specialist(finished, tmp_path, monkeypatch):
    root, run = finished
    source = other_bars(open_source(run.spec), "SPX500")
    monkeypatch.setattr("mtquant.execution.sources.open_source", lambda spec: source)
    again = prepare_run(tmp_path, record_run(tmp_path, run.spec, [], "direct", ["phase1-forex"]), source.digests())
    keys = {unit.name: unit.key for unit in run.units}
    assert again.units[0].key != keys["dataset-market"]
    assert again.units[1].key == keys["phase1-forex"]
    for unit in again.units:
        run_attempt(tmp_path, again.record.run_id, unit.name, WORK)
    assert outputs(tmp_path, again)["phase1-forex"] == outputs(root, run)["phase1-forex"]


def test_bars_that_changed_since_the_plan_are_refused(tmp_path):
    run = prepared(tmp_path, ["dataset-market"])
    unit = replace(
        run.units[0], inputs=run.units[0].inputs | {"data": run.units[0].inputs["data"] | {"EURUSD": "other"}}
    )
    Unit(tmp_path, unit).create()
    save_run(tmp_path, run.record.with_units([unit]))
    with pytest.raises(DataError, match="data of EURUSD changed"):
        run_attempt(tmp_path, run.record.run_id, "dataset-market", WORK)
