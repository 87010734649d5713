"""The model registry mirrors the record of aliases, and everything in MLflow can be made again from the store."""

import json
import re
import shutil

import pytest

from mtquant.execution.registering import promote, register_challenger, roll_back
from mtquant.store.files import remove_tree
from mtquant.store.promotions import CHALLENGER, CHAMPION
from mtquant.store.runs import run_folder, unit_of_run
from mtquant.tracking.models import POLICY
from mtquant.tracking.publisher import Publisher
from tests.execution.finished import finished_run
from tests.tracking.exports import make_small_export
from tests.tracking.histories import history

BETTER = (0.0, 0.1, 0.3)


@pytest.fixture
def finish(root):
    """Return a function that makes a finished run with an export of its own."""

    def make(seed=0, **settings):
        return finished_run(root, seed=seed, export=lambda folder: make_small_export(folder, seed), **settings)

    return make


def registered(publisher) -> dict[str, object]:
    """Return versions, tags, descriptions and aliases, without MLflow's own ids."""
    found = publisher.client.search_model_versions(f"name = '{POLICY}'")
    versions = {v.version: {"tags": v.tags, "description": v.description} for v in found}
    aliases = {name: int(v) for name, v in publisher.client.get_registered_model(POLICY).aliases.items()}
    return {"versions": versions, "aliases": aliases}


def test_challenger_and_champion_are_versions_of_one_model(root, finish):
    first, second = finish(), finish(1, edges=BETTER)
    publisher = Publisher(root)
    for run in (first, second):
        register_challenger(root, run.run_id)
        publisher.publish(run.run_id)
    promote(root, first.run_id, reason="the first one")
    publisher.mirror()
    found = registered(publisher)
    assert found["aliases"] == {CHALLENGER: 2, CHAMPION: 1}
    assert found["versions"][1]["tags"]["mtquant.run"] == first.run_id
    assert found["versions"][1]["tags"]["mtquant.stage"] == "phase3"
    outputs = json.loads(found["versions"][1]["tags"]["mtquant.outputs"])
    assert outputs == unit_of_run(root, first, "export-onnx").done().outputs
    text = found["versions"][1]["description"]
    assert re.search(r"`champion` \(met\), phase3\. Gain per year over phase 1: \+.*Reason: the first one", text)
    promote(root, second.run_id)
    publisher.mirror()
    assert registered(publisher)["aliases"] == {CHALLENGER: 2, CHAMPION: 2}
    roll_back(root, reason="it lost money")
    publisher.mirror()
    found = registered(publisher)
    assert found["aliases"] == {CHALLENGER: 2, CHAMPION: 1}
    assert "rollback" in found["versions"][1]["description"]


def test_doing_it_again_changes_nothing(root, finish):
    run = finish()
    register_challenger(root, run.run_id)
    Publisher(root).publish(run.run_id)
    before = registered(Publisher(root))
    for _ in range(2):
        Publisher(root).publish(run.run_id)
        assert registered(Publisher(root)) == before


@pytest.mark.parametrize("step", ["create_registered_model", "create_model_version", "set_registered_model_alias"])
def test_a_kill_between_two_requests_is_made_good(root, finish, step, monkeypatch):
    run = finish()
    register_challenger(root, run.run_id)
    publisher = Publisher(root)
    real = getattr(publisher.client, step)

    def dies_after(*args, **kwargs):
        monkeypatch.setattr(publisher.client, step, real)
        real(*args, **kwargs)
        raise ConnectionError("killed")

    monkeypatch.setattr(publisher.client, step, dies_after)
    with pytest.raises(ConnectionError):
        publisher.publish(run.run_id)
    publisher.publish(run.run_id)
    found = registered(Publisher(root))
    assert (list(found["versions"]), found["aliases"]) == ([1], {CHALLENGER: 1})


def test_an_alias_brings_a_run_that_mlflow_missed(root, finish):
    first, second = finish(), finish(1)
    for run in (first, second):
        register_challenger(root, run.run_id)
    publisher = Publisher(root)
    publisher.publish(second.run_id)
    found = registered(publisher)
    assert [entry["tags"]["mtquant.run"] for _, entry in sorted(found["versions"].items())] == [
        first.run_id,
        second.run_id,
    ]
    assert found["aliases"] == {CHALLENGER: 2}


def test_a_run_that_left_the_store_does_not_hold_up_the_others(root, finish):
    first, second = finish(), finish(1)
    for run in (first, second):
        register_challenger(root, run.run_id)
    remove_tree(run_folder(root, first.run_id))
    publisher = Publisher(root)
    publisher.publish(second.run_id)
    found = registered(publisher)
    assert [entry["tags"]["mtquant.run"] for entry in found["versions"].values()] == [second.run_id]
    assert found["aliases"] == {CHALLENGER: 1}


def everything(publisher) -> dict[str, object]:
    """Return what MLflow has of all runs by name; ids of runs and models are replaced by names."""
    client = publisher.client
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    names = {run.info.run_id: run.info.run_name for run in runs}
    models = {model.model_id: model.name for model in client.search_logged_models(experiments)}

    def named(text):
        for ident, name in {**names, **models}.items():
            text = text.replace(ident, f"<{name}>")
        return re.sub(r"#/experiments/\d+", "#/experiments/N", text)

    found = {}
    for run in runs:
        full = client.get_run(run.info.run_id)
        inputs = [
            (i.dataset.name, i.dataset.digest, i.dataset.profile, i.tags[0].value) for i in full.inputs.dataset_inputs
        ]
        found[run.info.run_name, run.data.tags.get("mtquant.run")] = {
            "history": history(client, run.info.run_id),
            "params": run.data.params,
            "tags": {name: named(text) for name, text in run.data.tags.items() if name != "mtquant.units"},
            "status": (run.info.status, run.info.start_time, run.info.end_time if "unit_key" in run.data.tags else 0),
            "datasets": sorted(inputs),
            "models_in": sorted(models[m.model_id] for m in full.inputs.model_inputs or ()),
            "models_out": sorted(
                models[m.model_id] for m in (full.outputs.model_outputs if full.outputs else None) or ()
            ),
            "artifacts": sorted(entry.path for entry in client.list_artifacts(run.info.run_id)),
        }
    return json.loads(json.dumps({" ".join(map(str, key)): value for key, value in found.items()})) | {
        "registry": registered(publisher)
    }


def test_a_deleted_mlflow_is_made_again_from_the_store(root, finish, empty_database):
    first, second = finish(), finish(1, edges=BETTER)
    publisher = Publisher(root)
    for run in (first, second):
        register_challenger(root, run.run_id)
        publisher.publish(run.run_id)
    promote(root, first.run_id)
    promote(root, second.run_id)
    roll_back(root)
    publisher.publish(second.run_id)
    before = everything(publisher)
    assert len(before) == 2 * 7 + 1
    remove_tree(root / "mlartifacts")
    shutil.copy(empty_database, root / "mlflow.db")
    again = Publisher(root)
    for run in (first, second):
        again.publish(run.run_id)
    after = everything(again)
    for name, entry in before.items():
        assert after[name] == entry, name
    assert set(after) == set(before)
