"""The flow of teams: what its form asks for, and what Prefect shows of its units."""

import sqlite3

import pytest

from flows.marl import TeamRequest
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.errors import ConfigError
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.store.runs import list_runs, read_events

MODE = TrainingMode.EXECUTION


def prepared(flows):
    """Record and prepare a run with a search."""
    config = UnifiedTrainingConfig(
        training_mode=MODE,
        training=TrainingConfig(total_steps=64),
        enable_hyperparameter_optimization=True,
        search_rates=(1e-3, 1e-2),
    )
    return prepare_run(flows.root, record_run(flows.root, config, ["test"], "prefect"))


def test_a_request_becomes_a_run_with_its_settings(tmp_path):
    record = TeamRequest(MODE, 9, "", ("training.gamma=0.5",), 7).record(tmp_path)
    assert record.config["training_mode"] == "execution"
    assert (record.config["total_episodes"], record.config["training"]["seed"]) == (9, 7)
    assert record.config["training"]["gamma"] == 0.5
    assert record.command == [
        *("mtquant", "marl", "execution", "--episodes", "9", "--seed", "7"),
        *("--set", "training.gamma=0.5"),
    ]
    assert (record.engine, read_events(tmp_path, record.run_id)[0]["event"]) == ("prefect", "created")


def test_empty_fields_leave_the_settings_alone(tmp_path):
    record = TeamRequest(MODE, 0, "", (), None).record(tmp_path)
    assert record.command == ["mtquant", "marl", "execution"]
    assert record.config["total_episodes"] is None
    assert record.config["environment"] == {}


def test_a_wrong_setting_is_refused_before_a_run_is_recorded(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean `gamma`"):
        TeamRequest(MODE, 0, "", ("training.gama=0.5",), None).record(tmp_path)
    assert list_runs(tmp_path) == []


@pytest.mark.slow
def test_a_failed_search_skips_what_needs_it_and_a_later_flow_does_the_rest(flows):
    run = prepared(flows)
    fail = flows.root / "fail-search-execution-1"
    fail.touch()
    assert flows.execute(run) == 7
    skipped = dict.fromkeys(("mappo-execution", "onnx-execution"), "Skipped")
    outcome = {"search-execution-0": "Completed", "search-execution-1": "Failed"} | skipped
    assert flows.states(run.record.run_id) == ("Failed", outcome)
    fail.unlink()
    assert flows.execute(run) == 0
    outcome = dict.fromkeys(outcome, "Completed") | {"search-execution-0": "Reused"}
    assert flows.states(run.record.run_id) == ("Completed", outcome)
    assert flows.attempts(run) == dict.fromkeys(outcome, 1) | {"search-execution-1": 2}
    with sqlite3.connect(flows.root / "prefect" / "prefect.db") as database:
        assert database.execute("select name from flow").fetchall() == [("mtquant-marl",)]
