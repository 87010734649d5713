"""Recording and preparing runs."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from mtquant.config.agents import DataSpec, EnvironmentSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.errors import ConfigError
from mtquant.execution.attempt import read_settings
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.store.runs import load_run, read_events, unit_of_run
from mtquant.store.status import run_status
from tests.execution.real import GROUPS, small_spec

DIGESTS = dict.fromkeys((*GROUPS, "clock", "macro", "splits"), "digest")


def test_a_run_is_recorded_before_its_bars_are_read(tmp_path):
    spec = small_spec()
    record = record_run(tmp_path, spec, ["train"], "direct")
    assert load_run(tmp_path) == record
    assert read_settings(record) == spec
    assert run_status(tmp_path, record).state == "dead"


def test_a_folder_of_bars_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = record_run(tmp_path, small_spec(data=DataSpec(source="bars")), ["train"], "direct")
    assert read_settings(record).data.source == str(tmp_path / "bars")


def test_units_get_their_folders_and_their_place_in_the_record(tmp_path):
    record = record_run(tmp_path, small_spec(), ["train"], "direct")
    prepared = prepare_run(tmp_path, record, DIGESTS)
    assert load_run(tmp_path) == prepared.record
    names = [unit.name for unit in prepared.units]
    assert list(prepared.record.units) == names
    assert [unit_of_run(tmp_path, prepared.record, name).spec for name in names] == list(prepared.units)
    assert {unit.state for unit in prepared.plan} == {"run"}
    assert {unit.state for unit in run_status(tmp_path, prepared.record).units} == {"waiting"}
    again = prepare_run(tmp_path, prepared.record, DIGESTS)
    assert again.units == prepared.units
    assert [event["event"] for event in read_events(tmp_path, record.run_id)] == ["prepared", "prepared"]


def test_a_run_of_some_units_prepares_those_they_need(tmp_path):
    record = record_run(tmp_path, small_spec(), ["train"], "direct", targets=["phase1-equity"])
    assert [unit.name for unit in prepare_run(tmp_path, record, DIGESTS).units] == ["dataset-market", "phase1-equity"]
    assert load_run(tmp_path).targets == ["phase1-equity"]


def test_recording_a_run_imports_nothing_heavy():
    code = (
        "import sys, json, mtquant.execution.preparation, mtquant.execution.supervisor, mtquant.execution.direct;"
        "print(json.dumps([m for m in ('torch', 'pandas', 'prefect', 'mlflow', 'gymnasium') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []


def test_settings_survive_the_record_exactly(tmp_path):
    catalogue = InstrumentsSpec(instruments={"WTIUSD": InstrumentSpec(group="commodities", half_spread_bps=0.1 + 0.2)})
    spec = small_spec(catalogue=catalogue, environment=EnvironmentSpec(instruments=("WTIUSD",)), seed=3)
    assert read_settings(record_run(tmp_path, spec, [], "direct")) == spec


def test_settings_of_another_version_are_refused_with_their_place(tmp_path):
    record = record_run(tmp_path, small_spec(), [], "direct")
    config = record.config | {"phase1": record.config["phase1"] | {"gone": 1}}
    with pytest.raises(ConfigError, match=r"`phase1.gone`.*mtquant train"):
        read_settings(replace(record, config=config))
