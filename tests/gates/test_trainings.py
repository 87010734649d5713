"""How gates start trainings: as a person would, through the command line, in the store they were given."""

import sys

import pytest

from mtquant.errors import StoreError, TrainingError
from mtquant.gates.trainings import FinishedRun, Training, train
from mtquant.store.runs import create_run, list_runs, save_run
from mtquant.store.units import Unit, UnitSpec

RECORDS = """
import json, os, sys
from pathlib import Path
from mtquant.store.runs import create_run
run = create_run(Path(os.environ["MTQUANT_STORE"]), sys.argv[1:], {"seed": 3}, "direct")
print(json.dumps({"event": "plan", "units": []}))
print(json.dumps({"event": "end", "run": run.run_id}))
"""
FAILS = "import sys; sys.stderr.write('first\\nno space left'); sys.exit(9)"


def test_the_command_gets_settings_seed_and_store(tmp_path):
    training = Training(("data.source=gp-easy", "phase1.timesteps=10"), phase=1)
    run = train(tmp_path, training, 7, command=(sys.executable, "-c", RECORDS))
    assert list_runs(tmp_path) == [run.record.run_id]
    words = " ".join(run.record.command)
    assert "--seed 7" in words and "--phase 1" in words and "--profile default" in words
    assert "--set data.source=gp-easy --set phase1.timesteps=10" in words


def test_all_phases_are_trained_where_none_is_named(tmp_path):
    run = train(tmp_path, Training(), 0, command=(sys.executable, "-c", RECORDS))
    assert "--phase" not in run.record.command


def test_a_failure_says_what_the_command_said(tmp_path):
    with pytest.raises(TrainingError, match="exit code 9:\nfirst\nno space left"):
        train(tmp_path, Training(), 0, command=(sys.executable, "-c", FAILS))


def test_the_digest_of_settings_leaves_the_seed_out(tmp_path):
    records = [
        create_run(tmp_path, [], {"seed": seed, "limits": cap}, "direct") for seed, cap in [(0, 1), (1, 1), (0, 2)]
    ]
    digests = [FinishedRun(tmp_path, record).config_digest for record in records]
    assert digests[0] == digests[1] != digests[2]


def test_outputs_of_a_unit_that_is_not_complete_are_refused(tmp_path):
    spec = UnitSpec("phase1-forex", "phase1", "forex", {"seed": 0})
    record = create_run(tmp_path, [], {}, "direct").with_units([spec])
    save_run(tmp_path, record)
    unit = Unit(tmp_path, spec)
    unit.create()
    run = FinishedRun(tmp_path, record)
    with pytest.raises(StoreError, match="not complete"):
        run.outputs("phase1-forex")
    with unit.lock():
        unit.begin_attempt()
        unit.finish({}, {})
    assert run.outputs("phase1-forex") == unit.outputs
    assert run.keys == (spec.key,)
