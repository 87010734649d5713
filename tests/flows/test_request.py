"""What the form takes, and the run it becomes."""

import pytest
from pydantic import TypeAdapter, ValidationError

from flows.request import Profile, Request, RunName, Seed, Workers, known_run
from mtquant.config.load import profiles, shipped_folder
from mtquant.errors import ConfigError, DataError, UsageError
from mtquant.store.runs import list_runs, read_events

SMALL = ("data.planted={train_histories: 2, history_bars: 400}", "phase1.timesteps=100")


def test_the_form_offers_every_profile_that_is_shipped():
    offered = set(TypeAdapter(Profile).json_schema()["enum"])
    assert offered == {"agents.yaml", *profiles(shipped_folder())}


@pytest.mark.parametrize(
    ("kind", "value"), [(Profile, "smok"), (RunName, "my run"), (Seed, -1), (Workers, -1), (Workers, "many")]
)
def test_the_form_refuses(kind, value):
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


def test_a_request_becomes_a_run_with_its_settings(tmp_path):
    record = Request("smoke", "gp-easy", "any", SMALL, 7).record(tmp_path)
    assert record.config["seed"] == 7
    assert record.config["data"]["source"] == "gp-easy"
    assert record.config["phase1"]["timesteps"] == 100
    assert record.engine == "prefect"
    assert record.command == [
        *("mtquant", "train", "--profile", "smoke", "--data", "gp-easy", "--seed", "7"),
        *("--set", SMALL[0], "--set", SMALL[1]),
    ]
    assert read_events(tmp_path, record.run_id)[0]["profile"] == "smoke"


def test_empty_fields_leave_the_profile_alone(tmp_path):
    record = Request("smoke", "", "any", (), None).record(tmp_path)
    assert record.command == ["mtquant", "train", "--profile", "smoke"]
    stated = Request("smoke", "", "H1", (), 0).record(tmp_path)
    assert (record.config["data"]["timeframe"], stated.config["data"]["timeframe"]) == (None, "H1")
    assert stated.config["seed"] == 0


def test_a_wrong_setting_is_refused_before_a_run_is_recorded(tmp_path):
    with pytest.raises(ConfigError, match="phase1"):
        Request("smoke", "", "any", ("phase1.timestep=5",), None).record(tmp_path)
    with pytest.raises(DataError, match="neither a folder"):
        Request("smoke", "gp-esay", "any", (), None).record(tmp_path)
    assert list_runs(tmp_path) == []


def test_a_run_to_continue_has_to_exist(tmp_path):
    with pytest.raises(UsageError, match="no run"):
        known_run(tmp_path, "20260101")
    record = Request("smoke", "gp-easy", "any", SMALL, None).record(tmp_path)
    assert known_run(tmp_path, record.run_id[:8]) == record
    assert read_events(tmp_path, record.run_id)[-1]["event"] == "resumed"
