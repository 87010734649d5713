"""Models in MLflow are the exported policies: the same numbers, once each, and no pickle anywhere."""

import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModelStatus

from mtquant.export import OnnxActor
from mtquant.store.digests import digest_file
from mtquant.store.runs import create_run, save_run
from mtquant.tracking.publisher import Publisher
from tests.execution.finished import finished_run

with warnings.catch_warnings():
    # MLflow warns of its own type hints, once per process.
    warnings.simplefilter("ignore", UserWarning)
    import mlflow.onnx
    import mlflow.pyfunc


@pytest.fixture
def run(root, exported):
    """Return a finished run with a real export."""
    return finished_run(root, export=lambda folder: shutil.copytree(exported.folder, folder, dirs_exist_ok=True))


@pytest.fixture(autouse=True)
def unpickling_refused(monkeypatch):
    """Let nothing be unpickled, whatever MLflow's own switch does."""

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    for name in ("pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads"):
        monkeypatch.setattr(name, refuse)


def models(publisher) -> dict[str, mlflow.entities.LoggedModel]:
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    found = publisher.client.search_logged_models(experiments)
    assert len({model.name for model in found}) == len(found), "one of each"
    assert {model.status for model in found} == {LoggedModelStatus.READY}
    return {model.name: model for model in found}


def files_of(model):
    return urlsplit(model.artifact_location).path


def test_every_policy_acts_like_its_bundle_and_its_graph(root, run, exported):
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    found = models(publisher)
    names = {path.stem for path in exported.folder.glob("*.onnx")}
    assert set(found) == names | {"mtquant-policy"}
    for name in sorted(names - {"phase2-hierarchy", "phase3-hierarchy"}):
        loaded = mlflow.pyfunc.load_model(files_of(found[name]))
        bundle = exported.bundle(name)
        recording = exported.recordings["phase3" if name.startswith("phase3") else "phase2"]
        seen = recording.observations(bundle.agent, len(bundle.instruments) if bundle.per_instrument else 1)
        said = loaded.predict({"observation": seen})["action"]
        np.testing.assert_array_equal(said, OnnxActor(exported.folder / f"{name}.onnx")(seen))
        np.testing.assert_allclose(said, bundle.actor.act(seen), atol=1e-5)


@pytest.mark.parametrize("stage", [2, 3])
def test_the_hierarchy_that_deploys_serves_what_the_game_played(root, exported, stage):
    run = finished_run(
        root, deployed=stage, export=lambda folder: shutil.copytree(exported.folder, folder, dirs_exist_ok=True)
    )
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    model = models(publisher)["mtquant-policy"]
    assert model.tags["mtquant.stage"] == f"phase{stage}"
    recording = exported.recordings[f"phase{stage}"]
    loaded = mlflow.pyfunc.load_model(files_of(model))
    given = {name: values if name == "age" else values.astype(np.float32) for name, values in recording.inputs.items()}
    said = loaded.predict(given)
    for name, expected in recording.outputs.items():
        np.testing.assert_allclose(said[name], expected, atol=1e-5)
    with pytest.raises(mlflow.exceptions.MlflowException, match="books"):
        loaded.predict({name: values for name, values in given.items() if name != "books"})
    as_onnx = mlflow.onnx.load_model(files_of(models(publisher)[f"phase{stage}-hierarchy"]))
    assert [entry.name for entry in as_onnx.graph.output] == list(recording.outputs)


def test_no_file_of_a_model_is_a_pickle(root, run):
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    for model in models(publisher).values():
        for folder, _, names in os.walk(files_of(model)):
            kinds = {name.rpartition(".")[2] for name in names}
            assert kinds <= {"MLmodel", "onnx", "json", "py", "txt", "yaml"}, (folder, names)
            graphs = [digest_file(Path(folder) / name) for name in names if name.endswith(".onnx")]
            assert set(graphs) <= {model.tags["mtquant.sha256"]}, "the exported file itself"


def test_models_belong_to_the_runs_that_trained_them(root, run):
    publisher = Publisher(root)
    done = publisher.publish(run.run_id)
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    runs = {r.info.run_id: r.info.run_name for r in publisher.client.search_runs(experiments)}
    found = models(publisher)
    sources = {name: runs[model.source_run_id] for name, model in found.items()}
    assert sources["phase1-forex"] == "phase1-forex"
    assert sources["phase2-meta"] == "phase2-meta"
    assert sources["phase3-meta"] == sources["phase3-forex"] == "phase3-joint"
    assert sources["phase3-hierarchy"] == "export-onnx"
    assert sources["phase1-equity"] == "export-onnx", "its unit is not in this small graph"
    assert sources["mtquant-policy"] == run.run_id
    export = next(run_id for run_id, name in runs.items() if name == "export-onnx")
    read = {entry.model_id for entry in publisher.client.get_run(export).inputs.model_inputs}
    assert found["phase3-forex"].model_id in read
    parent = publisher.client.get_run(done.parent_id)
    assert found["mtquant-policy"].params["weights.forex"]
    fresh = publisher.client.get_logged_model(found["mtquant-policy"].model_id)
    measured = {metric.key: metric for metric in fresh.metrics}
    assert measured["final/sharpe"].value == parent.data.metrics["final/sharpe"] == 2.0
    assert measured["final/sharpe"].dataset_name == "gp-easy D1 test"
    assert len(publisher.client.get_metric_history(done.parent_id, "final/sharpe")) == 1


@pytest.mark.parametrize(
    "step",
    ["create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs", "log_inputs", "log_batch"],
)
def test_a_kill_while_models_are_logged_is_made_good(root, run, step, monkeypatch):
    publisher = Publisher(root)
    real = getattr(publisher.client, step)
    calls = 0

    def dies_after(*args, **kwargs):
        # The request arrived, the publisher did not live to see it; each time one request later.
        nonlocal calls
        result = real(*args, **kwargs)
        calls += 1
        if calls in (1, 4, 9):
            raise ConnectionError("killed")
        return result

    monkeypatch.setattr(publisher.client, step, dies_after)
    deaths = 0
    while True:
        try:
            done = publisher.publish(run.run_id)
            break
        except ConnectionError:
            deaths += 1
    assert deaths >= 1
    found = models(Publisher(root))
    assert len(found) == 11
    outputs = publisher.client.get_run(done.parent_id).outputs.model_outputs
    assert [entry.model_id for entry in outputs] == [found["mtquant-policy"].model_id]


def test_nothing_is_logged_twice(root, run):
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    before = {name: model.model_id for name, model in models(publisher).items()}
    for again in (publisher, Publisher(root)):
        again.publish(run.run_id)
    assert {name: model.model_id for name, model in models(publisher).items()} == before


def test_a_run_that_reuses_the_export_gets_a_model_of_its_own_and_no_second_policy(root, run):
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    other = replace(create_run(root, ["train"], run.config, "direct"), units=run.units)
    save_run(root, other)
    publisher.publish(other.run_id)
    experiments = [e.experiment_id for e in publisher.client.search_experiments()]
    names = [model.name for model in publisher.client.search_logged_models(experiments)]
    assert sorted(names).count("mtquant-policy") == 2
    assert len(names) == 12


def test_an_export_without_a_manifest_has_no_models(root):
    run = finished_run(root)
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    assert publisher.client.search_logged_models(["1"]) == []
