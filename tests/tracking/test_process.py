"""The publisher's process follows a run to its end and never takes anything down with it."""

import contextlib
import sqlite3

import pytest

from mtquant.store.runs import read_events
from mtquant.tracking.__main__ import follow, main
from mtquant.tracking.background import LOG, BackgroundPublisher, publishing
from mtquant.tracking.location import artifact_location, tracking_uri, without_secrets
from mtquant.tracking.published import pending_units
from mtquant.tracking.publisher import Publisher
from tests.tracking.conftest import UNITS, begin


def test_following_ends_with_one_more_pass():
    passes, pauses = [], []

    def ended(seconds):
        pauses.append(seconds)
        return len(pauses) > 4

    assert follow(lambda: passes.append(1), ended, once=False) == 0
    assert len(passes) == 3
    assert follow(lambda: passes.append(1), ended, once=True) == 0
    assert len(passes) == 4


def test_failures_are_said_and_tried_less_and_less_often(capsys):
    pauses = []

    def broken():
        raise ConnectionError("database is locked\nlong story")

    def ended(seconds):
        pauses.append(seconds)
        return len(pauses) > 6

    assert follow(broken, ended, once=False) == 1
    assert [p for p in pauses if p] == [20.0, 40.0, 80.0]
    assert "not published yet: ConnectionError: database is locked\n" in capsys.readouterr().err


def test_a_run_is_published_beside_its_training(root, record):
    with publishing(root, record.run_id) as publisher:
        begin(root, UNITS[0], lines=3).finish({}, {})
    assert publisher.current, (root / "runs" / record.run_id / LOG).read_text()
    assert pending_units(root, record, Publisher(root).uri) == []
    assert read_events(root, record.run_id)[-1]["complete"] is True


def test_a_tracker_that_is_down_leaves_everything_pending(root, record, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MTQUANT_STORE", str(root))
    begin(root, UNITS[0], lines=3).finish({}, {})
    assert main(["--run", record.run_id]) == 1
    assert pending_units(root, record, tracking_uri(root)) == ["phase1-forex"]


@pytest.mark.parametrize(
    ("uri", "shown"), [("http://me:word@host:5000/x", "http://host:5000/x"), ("sqlite:////a/b.db", "sqlite:////a/b.db")]
)
def test_addresses_are_kept_without_passwords(uri, shown):
    assert without_secrets(uri) == shown


def test_artifacts_lie_beside_their_database(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert artifact_location(tmp_path, tracking_uri(tmp_path)) == (tmp_path / "mlartifacts").as_uri()
    assert artifact_location(tmp_path, "sqlite:////elsewhere/my.db") == "file:///elsewhere/mlartifacts"
    assert artifact_location(tmp_path, "http://host:5000") is None


def test_a_database_that_somebody_holds_stops_nothing(root, record):
    """Its writer waits; the run ends without it, and what is pending arrives later."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        publisher = BackgroundPublisher(root, record.run_id)
        begin(root, UNITS[0], lines=3).finish({}, {})
        assert publisher.finish(seconds=2.0) is False
        assert pending_units(root, record, tracking_uri(root)) == ["phase1-forex"]
        holder.rollback()
    Publisher(root).publish(record.run_id)
    assert pending_units(root, record, tracking_uri(root)) == []


def test_what_tracking_cost_is_said_in_the_events(root, record):
    with publishing(root, record.run_id):
        pass
    found = next(event for event in read_events(root, record.run_id) if event["event"] == "tracked")
    assert found["processor_seconds"] > 0.0
