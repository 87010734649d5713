"""What a unit was made from can be followed from the last phase back to the bars."""

import json

import pytest

from mtquant.store.digests import digest_json
from mtquant.store.runs import create_run, save_run, unit_of_run
from mtquant.store.units import Unit, UnitSpec
from mtquant.tracking.lineage import datasets, unit_note, upstream, upstream_tags
from mtquant.tracking.publisher import Publisher
from tests.execution.finished import finished_run
from tests.tracking.histories import histories

DATA = {"EURUSD": "abc", "clock": "def", "splits": "123", "macro": "456"}


def made(root, *kinds, config=None):
    specs = [UnitSpec(f"{kind}-x", kind, "x", {"config": config or {}, "data": DATA}) for kind in kinds]
    config = {"data": {"source": "somewhere/my-bars", "timeframe": "H1"}}
    record = create_run(root, ["train"], config, "direct").with_units(specs)
    save_run(root, record)
    for spec in specs:
        Unit(root, spec).create()
    return record


@pytest.mark.parametrize(
    ("kind", "contexts"),
    [
        ("dataset", ["train", "validation", "test"]),
        ("phase1", ["train"]),
        ("phase2", ["train"]),
        ("phase3", ["train", "validation"]),
        ("evaluate", ["test", "validation"]),
        ("export", ["test"]),
    ],
)
def test_each_kind_reads_its_splits(tmp_path, kind, contexts):
    record = made(tmp_path, kind)
    found = datasets(tmp_path, record, unit_of_run(tmp_path, record, f"{kind}-x"))
    assert [entry.context for entry in found] == contexts
    assert found[0].name == f"my-bars H1 {contexts[0]}"
    assert json.loads(found[0].schema) == {"mlflow_colspec": [{"name": "EURUSD", "type": "double", "required": True}]}


def test_an_evaluation_of_validation_says_so(tmp_path):
    record = made(tmp_path, "evaluate", config={"evaluation": {"split": "validation"}})
    found = datasets(tmp_path, record, unit_of_run(tmp_path, record, "evaluate-x"))
    assert [entry.context for entry in found] == ["validation"]


def test_digests_fit_mlflow_and_tell_splits_apart(tmp_path):
    record = made(tmp_path, "dataset")
    found = datasets(tmp_path, record, unit_of_run(tmp_path, record, "dataset-x"))
    assert len({entry.digest for entry in found}) == 3
    for entry in found:
        assert len(entry.digest) <= 36
        assert entry.full_digest == digest_json({"data": DATA, "split": entry.context})
        assert entry.full_digest.startswith(entry.digest)


def test_a_unit_names_the_runs_keys_and_outputs_it_read(tmp_path):
    record = finished_run(tmp_path)
    unit = unit_of_run(tmp_path, record, "phase3-joint")
    found = upstream(tmp_path, record, unit, {"phase1-forex": "r1"})
    assert list(found) == ["dataset-market", "phase1-forex", "phase2-meta"]
    assert found["phase1-forex"] == {
        "unit_key": record.units["phase1-forex"]["key"],
        "run_id": "r1",
        "outputs": unit_of_run(tmp_path, record, "phase1-forex").done().outputs,
    }
    tags = upstream_tags(found)
    assert tags["mtquant.upstream.phase1-forex"] == "r1"
    assert "mtquant.upstream.phase2-meta" not in tags, "MLflow has no run of it"
    assert json.loads(tags["mtquant.upstream"]) == found
    note = unit_note(record, unit, found, {"phase1-forex": "7"})
    assert "[phase1-forex](#/experiments/7/runs/r1)" in note


def test_many_outputs_are_told_as_one_digest(tmp_path):
    record = made(tmp_path, "dataset")
    unit = unit_of_run(tmp_path, record, "dataset-x")
    unit.begin_attempt()
    outputs = {f"file-{place}": "d" * 64 for place in range(20)}
    unit.finish({}, outputs)
    reader = Unit(tmp_path, UnitSpec("phase1-x", "phase1", "x", {}, ("dataset-x", "unknown-x")))
    found = upstream(tmp_path, record, reader, {})
    assert found["dataset-x"]["outputs"] == {"sha256": digest_json(outputs)}
    assert list(found) == ["dataset-x"]


def test_a_person_can_follow_phase_3_to_its_specialists_in_mlflow(root):
    record = finished_run(root)
    publisher = Publisher(root)
    done = publisher.publish(record.run_id)
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    found = {run.info.run_name: run for run in publisher.client.search_runs(experiments)}
    specialist = found["phase1-forex"].info.run_id
    query = f"tags.`mtquant.upstream.phase1-forex` = '{specialist}'"
    readers = {run.info.run_name for run in publisher.client.search_runs(experiments, query)}
    assert readers == {"phase2-meta", "phase3-joint", "evaluate-report", "export-onnx"}
    joint = publisher.client.get_run(found["phase3-joint"].info.run_id)
    assert {entry.tags[0].value for entry in joint.inputs.dataset_inputs} == {"train", "validation"}
    parent = publisher.client.get_run(done.parent_id)
    assert {entry.tags[0].value for entry in parent.inputs.dataset_inputs} == {"train", "validation", "test"}


def test_best_figures_stand_beside_the_final_ones(root):
    record = finished_run(root)
    publisher = Publisher(root)
    done = publisher.publish(record.run_id)
    joint = histories(publisher.client, done.parent_id)["phase3-joint"]
    assert joint["best/utility_per_bar"] == [(10, 0.1)]
    assert joint["final/utility"] == [(10, 0.5)]
    parent = publisher.client.get_run(done.parent_id).data
    assert parent.metrics["best/phase3-joint.utility_per_bar"] == 0.1
    assert parent.metrics["final/sharpe"] == parent.metrics["final/phase3/sharpe"] == 2.0
    assert parent.metrics["final/phase2/sharpe"] == 1.0
    assert parent.tags["mtquant.stage"] == "phase3"
