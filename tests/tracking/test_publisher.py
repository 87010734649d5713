"""MLflow tells what the store holds: once, without gap or double, whatever was killed in between."""

import math

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mtquant.evaluation.alarms import alarms
from mtquant.store.runs import append_event, create_run, save_run
from mtquant.store.status import UnitError, write_error
from mtquant.store.units import Unit
from mtquant.tracking.published import pending_units
from mtquant.tracking.publisher import Publisher
from tests.tracking.conftest import UNITS, begin, checkpoint, grow

FOREX, EQUITY, REPORT = UNITS


def children(publisher, parent_id) -> dict[str, Run]:
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    found = publisher.client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent_id}'")
    return {run.info.run_name: run for run in found}


def history(publisher, run_id, key="reward"):
    return [(m.step, m.value, m.timestamp) for m in publisher.client.get_metric_history(run_id, key)]


def only_child(publisher, record, name="phase1-forex") -> Run:
    done = publisher.publish(record.run_id)
    return children(publisher, done.parent_id)[name]


def test_a_finished_unit_becomes_a_child_with_curves_params_lineage_and_artifacts(root, record):
    unit = begin(root, FOREX, lines=4)
    (unit.outputs / "forex").mkdir()
    (unit.outputs / "forex" / "bundle.json").write_text("{}")
    unit.finish({"utility": 0.5, "ratio": math.inf}, {"forex": "d1"})
    publisher = Publisher(root)
    run = only_child(publisher, record)
    assert run.info.status == "FINISHED"
    assert history(publisher, run.info.run_id) == [(10 * n, 0.5 * n, (10**9 + n) * 1000) for n in (1, 2, 3, 4)]
    assert "undefined" not in run.data.metrics
    assert run.data.metrics["final/utility"] == 0.5
    assert run.data.tags["mtquant.undefined"] == "ratio"
    assert run.data.params["phase1.ppo.gamma"] == "0.9"
    assert run.data.params["phase1.ppo.actor_hidden"] == "[64, 64]"
    assert run.data.params["instruments.EURUSD"] == '{"group": "forex"}'
    tags = {"unit_key": FOREX.key, "run": record.run_id, "attempt": "1", "git": "1234567"}
    tags = {f"mtquant.{name}": value for name, value in tags.items()}
    assert tags.items() <= run.data.tags.items()
    data = run.inputs.dataset_inputs[0]
    assert (data.dataset.name, data.tags[0].value) == ("gp-easy train", "train")
    assert [f.path for f in publisher.client.list_artifacts(run.info.run_id, "forex")] == ["forex/bundle.json"]
    assert publisher.client.get_experiment(run.info.experiment_id).name == "mtquant/smoke"


def test_alarms_of_the_learning_curve_are_told_while_it_trains(root, record):
    unit = begin(root, FOREX, lines=4)
    checkpoint(unit)
    publisher = Publisher(root)
    assert "mtquant.alarms" not in only_child(publisher, record).data.tags
    for number in (5, 6, 7, 8):
        unit.journal.append(10 * number, {"reward": 1.0, "approx_kl": 0.5}, 1e9 + number)
    checkpoint(unit)
    (alarm,) = alarms(unit.journal.read())
    assert only_child(publisher, record).data.tags["mtquant.alarms"] == str(alarm)
    assert "too far" in str(alarm)


def test_publishing_again_changes_nothing(root, record):
    begin(root, FOREX, lines=4).finish({"utility": 0.5}, {})
    publisher = Publisher(root)
    first = publisher.publish(record.run_id)
    child = children(publisher, first.parent_id)["phase1-forex"]
    before = history(publisher, child.info.run_id)
    for again in (publisher, Publisher(root)):
        second = again.publish(record.run_id)
        assert (second.parent_id, second.points) == (first.parent_id, 0)
        assert list(children(again, first.parent_id)) == ["phase1-forex"]
        assert history(again, child.info.run_id) == before


def test_only_lines_that_a_checkpoint_covers_are_published(root, record):
    unit = begin(root, FOREX, lines=3)
    publisher = Publisher(root)
    run = only_child(publisher, record)
    assert history(publisher, run.info.run_id) == []
    checkpoint(unit)
    grow(unit, 5)
    publisher.publish(record.run_id)
    assert [step for step, _, _ in history(publisher, run.info.run_id)] == [10, 20, 30]


def test_a_resumed_unit_leaves_neither_gap_nor_double(root, record):
    unit = begin(root, FOREX, lines=3)
    checkpoint(unit)
    grow(unit, 5)
    publisher = Publisher(root)
    publisher.publish(record.run_id)
    unit = begin(root, FOREX, lines=8, wall=2e9)
    unit.finish({}, {})
    run = only_child(publisher, record)
    assert [step for step, _, _ in history(publisher, run.info.run_id)] == [10 * n for n in range(1, 9)]
    assert run.data.tags["mtquant.attempt"] == "2"


def test_a_lost_checkpoint_does_not_double_points(root, record):
    unit = begin(root, FOREX, lines=3)
    checkpoint(unit)
    publisher = Publisher(root)
    publisher.publish(record.run_id)
    (unit.checkpoints.root / f"{30:012d}" / "values.json").write_text("damaged")
    with pytest.warns(UserWarning, match="damaged"):
        unit = begin(root, FOREX, lines=6, wall=2e9)
    unit.finish({}, {})
    run = only_child(publisher, record)
    assert [step for step, _, _ in history(publisher, run.info.run_id)] == [10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("step", ["create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated"])
def test_a_kill_between_two_requests_is_made_good(root, record, step, monkeypatch):
    unit = begin(root, FOREX, lines=4)
    (unit.outputs / "weights.bin").write_text("w")
    unit.finish({"utility": 0.5}, {})
    publisher = Publisher(root)
    real = getattr(publisher.client, step)
    calls = 0

    def dies_after(*args, **kwargs):
        # Twice over: the request arrived, the publisher did not live to see it.
        nonlocal calls
        result = real(*args, **kwargs)
        calls += 1
        if calls <= 2:
            raise ConnectionError("killed")
        return result

    monkeypatch.setattr(publisher.client, step, dies_after)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            publisher.publish(record.run_id)
    run = only_child(Publisher(root), record)
    assert history(publisher, run.info.run_id) == [(10 * n, 0.5 * n, (10**9 + n) * 1000) for n in (1, 2, 3, 4)]
    assert run.data.params["seed"] == "3"
    assert len(run.inputs.dataset_inputs) == 1
    assert run.info.status == "FINISHED"
    assert [f.path for f in publisher.client.list_artifacts(run.info.run_id)] == ["weights.bin"]
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    assert len(publisher.client.search_runs(experiments)) == 2


def test_a_deleted_database_is_rebuilt_from_the_store(root, record, empty_database):
    unit = begin(root, FOREX, lines=4)
    (unit.folder / "attempts" / "0001.json").write_text('{"attempt": 1, "started": "2001-09-09T01:46:40+00:00"}')
    unit.finish({"utility": 0.5}, {})
    Publisher(root).publish(record.run_id)
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    publisher = Publisher(root)
    run = only_child(publisher, record)
    assert len(history(publisher, run.info.run_id)) == 4
    assert run.info.start_time == 10**12, "the time of the first attempt, not of the publication"


def test_the_parent_has_the_report_the_numbers_and_a_table(root, record):
    for spec in UNITS:
        unit = begin(root, spec)
        if spec is REPORT:
            (unit.outputs / "report.html").write_text("<html>")
        unit.finish({"sharpe": 1.25}, {})
    append_event(root, record.run_id, "prepared", plan={"phase1-equity": ["reuse", "same inputs"]})
    publisher = Publisher(root)
    done = publisher.publish(record.run_id)
    parent = publisher.client.get_run(done.parent_id)
    assert (parent.info.status, parent.data.metrics["final/sharpe"]) == ("FINISHED", 1.25)
    assert parent.data.params["data.source"] == "gp-easy"
    assert [f.path for f in publisher.client.list_artifacts(done.parent_id, "report")] == ["report/report.html"]
    assert {f.path for f in publisher.client.list_artifacts(done.parent_id)} == {"config.json", "report", "units.json"}
    assert "| done | reuse |" in parent.data.tags["mlflow.note.content"]
    assert "mtquant resume" not in parent.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(("exit_code", "status"), [(75, "KILLED"), (7, "FAILED")])
def test_how_a_unit_ended_is_told_and_a_resumed_one_runs_again(root, record, exit_code, status):
    unit = begin(root, FOREX, lines=2)
    write_error(unit, UnitError(1, exit_code, "", "", False))
    publisher = Publisher(root)
    run = only_child(publisher, record)
    assert run.info.status == status
    with unit.lock():
        unit.begin_attempt()
        assert only_child(publisher, record).info.status == "RUNNING"


def test_a_reused_unit_is_not_logged_again(root, record):
    begin(root, FOREX, lines=4).finish({}, {})
    publisher = Publisher(root)
    first = publisher.publish(record.run_id)
    other = create_run(root, ["train"], record.config, "direct").with_units((FOREX,))
    save_run(root, other)
    second = publisher.publish(other.run_id)
    assert children(publisher, second.parent_id) == {}
    parent = publisher.client.get_run(second.parent_id)
    assert children(publisher, first.parent_id)["phase1-forex"].info.run_id in parent.data.tags["mlflow.note.content"]


def test_what_a_person_deleted_in_mlflow_stays_deleted(root, record):
    unit = begin(root, FOREX, lines=2)
    checkpoint(unit)
    publisher = Publisher(root)
    run = only_child(publisher, record)
    publisher.client.delete_run(run.info.run_id)
    unit.finish({}, {})
    assert publisher.publish(record.run_id).points == 0
    publisher.client.delete_run(publisher.publish(record.run_id).parent_id)
    assert publisher.publish(record.run_id).points == 0


def test_pending_units_are_known_without_mlflow(root, record):
    uri = Publisher(root).uri
    begin(root, FOREX, lines=1).finish({}, {})
    begin(root, EQUITY, lines=1)
    assert pending_units(root, record, uri) == ["phase1-forex"]
    Publisher(root).publish(record.run_id)
    assert pending_units(root, record, uri) == []
    assert pending_units(root, record, "http://elsewhere:5000") == ["phase1-forex"]


def test_a_tracker_that_is_not_there_raises_for_the_caller_to_log(root, record, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    begin(root, FOREX, lines=1).finish({}, {})
    with pytest.raises(MlflowException):
        Publisher(root, "http://127.0.0.1:9").publish(record.run_id)
    assert Unit(root, FOREX).done() is not None
