"""`promote` as a person meets it: what moved and why, what was refused, and what MLflow has to do with it."""

import json

import pytest

from mtquant.execution.registering import register_challenger
from mtquant.store.promotions import CHAMPION, holder_of_alias, read_assignments
from tests.execution.finished import finished_run


@pytest.fixture(autouse=True)
def no_tracker(cli, monkeypatch):
    """Let the tracker refuse at once: promoting must not need it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def champion(cli):
    found = holder_of_alias(read_assignments(cli.root), CHAMPION)
    return found.policy.run_id if found else None


def test_the_challenger_becomes_champion_with_its_figures(cli):
    run = finished_run(cli.root)
    register_challenger(cli.root, run.run_id)
    ended = cli("promote", "--reason", "first")
    assert ended.code == 0, ended.err
    first, *figures, reason = ended.out.splitlines()
    assert first.startswith(f"champion: run {run.run_id}, phase3 (met; entry 2 of ")
    assert [line.split(":")[0].strip() for line in figures] == [
        "+ against phase 1",
        "+ against flat",
        "+ against momentum",
    ]
    assert reason == "  reason: first"
    assert champion(cli) == run.run_id


def test_a_tracker_that_is_down_does_not_stop_a_promotion(cli):
    run = finished_run(cli.root)
    ended = cli("promote", run.run_id, "--json")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert (found["policy"]["run_id"], found["verdict"], found["mirrored"]) == (run.run_id, "met", False)
    assert found["figures"]["phase 1"]["low"] > 0.0
    assert "recorded, but not in MLflow yet" in ended.err
    assert "mtquant sync" in ended.err


def test_a_refusal_ends_with_8_and_moves_nothing(cli):
    run = finished_run(cli.root, edges=(0.15, 0.15, 0.15))
    ended = cli("promote", run.run_id[:-2])
    assert ended.code == 8
    assert "against phase 1:" in ended.err
    assert ended.out == ""
    assert champion(cli) is None
    assert cli("promote", run.run_id, "--force").code == 2
    forced = cli("promote", run.run_id, "--force", "--reason", "a demonstration")
    assert forced.code == 0
    assert "(forced; entry 1" in forced.out
    assert "x against phase 1: " in forced.out


def test_rollback(cli):
    first, second = finished_run(cli.root), finished_run(cli.root, seed=1, edges=(0.0, 0.1, 0.3))
    assert cli("promote", "--rollback").code == 2
    for run in (first, second):
        assert cli("promote", run.run_id).code == 0
    ended = cli("promote", "--rollback", "--reason", "it lost money")
    assert ended.code == 0
    assert ended.out.startswith(f"champion: run {first.run_id}, phase3 (again, after a rollback; entry 3")
    assert champion(cli) == first.run_id
    assert cli("promote", "--rollback").code == 2
    assert cli("promote", second.run_id, "--rollback").code == 2


def test_an_unfinished_run_cannot_be_promoted(finished):
    run = json.loads(finished("runs", "list", "--json").out)[0]["run"]
    ended = finished("promote", run, "--alias", "champion")
    assert ended.code == 8
    assert "nothing to promote" in ended.err, "toy evaluations do not say what deploys"


def test_the_alias_is_one_of_two(cli):
    finished_run(cli.root)
    ended = cli("promote", "--alias", "production")
    assert ended.code == 2
    assert "`challenger`, `champion`" in ended.err


def test_an_empty_store_says_how_to_begin(cli):
    ended = cli("promote")
    assert ended.code == 2
    assert "mtquant train" in ended.err
