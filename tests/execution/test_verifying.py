"""Verification: the same work gives the same updates, and what was tampered with is named."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mtquant.errors import LockedError, StoreError
from mtquant.execution.attempt import HISTORY, run_attempt
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.verifying import interval_of, verify_unit
from mtquant.execution.work import WORK
from mtquant.store.chain import Chain
from mtquant.store.digests import digest_file
from mtquant.store.runs import unit_of_run
from mtquant.store.snapshot import Snapshot
from tests.execution.real import small_spec

UNIT = "phase1-equity"


class StopAt:
    """Asks to stop at the n-th question."""

    def __init__(self, at):
        self.left = at

    def __call__(self):
        self.left -= 1
        return self.left == 0


@pytest.fixture
def stored(tmp_path):
    """A store with a finished specialist and what it reads."""
    run = prepare_run(tmp_path, record_run(tmp_path, small_spec(), ["train"], "direct", [UNIT]))
    for unit in run.units:
        run_attempt(tmp_path, run.record.run_id, unit.name, WORK)
    return tmp_path, run.record


def tree(folder):
    """Return every file below `folder` with its content."""
    return {path: digest_file(path) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"}


def test_an_interval_repeats_equally_and_the_store_is_not_touched(stored):
    root, record = stored
    before = tree(root)
    found = verify_unit(root, record, UNIT, WORK)
    # Checkpoints at every boundary: the newest interval is one update, and the result is made from it.
    assert (found.equal, found.updates, found.start, found.end) == (True, 1, 400, 480)
    assert tree(root) == before


def test_everything_repeats_equally_from_step_0(stored):
    root, record = stored
    found = verify_unit(root, record, UNIT, WORK, full=True)
    retained = unit_of_run(root, record, UNIT).checkpoints.retained()
    assert (found.equal, found.start, found.end, found.updates) == (True, 0, 480, len(retained))
    dataset = verify_unit(root, record, "dataset-market", WORK, full=True)
    assert (dataset.equal, dataset.updates, dataset.message) == (True, 0, "equal")


def test_an_unfinished_unit_can_be_verified(tmp_path):
    run = prepare_run(tmp_path, record_run(tmp_path, small_spec(), ["train"], "direct", [UNIT]))
    with pytest.raises(Exception, match="Stopped"):
        for unit in run.units:
            run_attempt(tmp_path, run.record.run_id, unit.name, WORK, StopAt(4))
    found = verify_unit(tmp_path, run.record, UNIT, WORK)
    assert found.equal
    assert found.updates == 1
    assert 0 < found.end < 480
    assert verify_unit(tmp_path, run.record, "dataset-market", WORK).message.startswith("its files are")


def rewritten(root, record, change):
    """Give the newest checkpoint's chain other content with fitting digests, as a wrong machine would have."""
    unit = unit_of_run(root, record, UNIT)
    newest, interval = unit.checkpoints.latest(), interval_of(unit)
    chain = Chain(interval.start, newest.chain().head)
    state = newest.load()
    change(state)
    chain.add(newest.step, state)
    unit.checkpoints.save(newest.step, newest.load(), 1, newest.environment, chain=chain.slice())
    return unit


def test_the_first_update_and_tensor_that_differ_are_named(stored):
    root, record = stored

    def nudge(state: Snapshot) -> None:
        weights = np.array(state.arrays["policy.action_net.weight"])
        weights.flat[0] = np.nextafter(weights.flat[0], np.inf)
        state.arrays["policy.action_net.weight"] = weights

    rewritten(root, record, nudge)
    found = verify_unit(root, record, UNIT, WORK)
    assert not found.equal
    assert found.message == "the update that ends at step 480 gives another `policy.action_net.weight`"


def test_another_result_is_named(stored):
    root, record = stored
    unit = unit_of_run(root, record, UNIT)
    done = unit.done()
    unit.finish(done.metrics, done.outputs | {HISTORY: "0" * 64}, done.consumed, done.wall_seconds)
    found = verify_unit(root, record, UNIT, WORK)
    assert (found.equal, found.message) == (False, "the result differs in history")


def test_damage_and_a_unit_at_work_are_errors(stored):
    root, record = stored
    unit = unit_of_run(root, record, UNIT)
    with unit.lock(), pytest.raises(LockedError, match="is held by pid"):
        verify_unit(root, record, UNIT, WORK)
    path = unit.checkpoints.latest().folder / "values.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StoreError, match=r"values\.json is damaged"):
        verify_unit(root, record, UNIT, WORK)
    assert unit.checkpoints.newest_step() == 480, "verification sets nothing aside"


def test_other_code_is_told_beside_a_difference(stored, monkeypatch):
    root, record = stored
    rewritten(root, record, lambda state: state.values["counters"].update(n_updates=99))
    monkeypatch.setattr("mtquant.execution.verifying.code_versions", lambda names: dict.fromkeys(names, "other"))
    found = verify_unit(root, record, UNIT, WORK)
    assert "`values.counters`" in found.message
    assert "since it was made: code of mtquant.sim changed" in found.notes


def test_a_process_prints_the_verdict(stored, monkeypatch):
    root, record = stored
    monkeypatch.setenv("MTQUANT_STORE", str(root))
    command = [sys.executable, "-m", "mtquant.execution.verifying", "--run", record.run_id, "--unit"]
    done = subprocess.run([*command, UNIT], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["message"] == "equal"
