"""Runs of teams: their units and keys, real work in small, and what a run of the pipeline is not."""

import json

import numpy as np
import onnx
import pytest

from mtquant.agents.training.pettingzoo_mappo_trainer import team_bundles
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.config.teams import resolve_teams
from mtquant.errors import ConfigError, Preempted, UsageError
from mtquant.execution.attempt import is_team_run, read_pipeline, read_settings, run_attempt
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.teams import units_of_teams
from mtquant.execution.verifying import verify_unit
from mtquant.execution.work import WORK
from mtquant.export import OnnxActor
from mtquant.store.runs import unit_of_run
from tests.agents.made import Stop
from tests.agents.teams import SMALL

MODE = TrainingMode.EXECUTION


def asked(**changes: object) -> UnifiedTrainingConfig:
    settings = {
        "training_mode": MODE,
        "training": TrainingConfig(**SMALL, total_steps=96),
        "environment": {"config": {"execution": {"environment": {"max_episode_steps": 20}}}},
        "evaluation_episodes": 2,
        "search_rates": (1e-3, 1e-2),
        "search_share": 0.5,
    }
    return UnifiedTrainingConfig(**(settings | changes))


def names(config: UnifiedTrainingConfig) -> list[str]:
    return [unit.name for unit in units_of_teams(config)]


def test_each_environment_has_its_units():
    assert names(asked()) == ["mappo-execution", "onnx-execution"]
    searching = asked(enable_hyperparameter_optimization=True)
    expected = ["search-execution-0", "search-execution-1", "mappo-execution", "onnx-execution"]
    assert names(searching) == expected
    assert units_of_teams(searching)[2].upstream == tuple(expected[:2])
    mixed = names(asked(training_mode=TrainingMode.MIXED, environment={}))
    assert [name for name in mixed if name.startswith("mappo")] == [
        "mappo-strategic",
        "mappo-tactical",
        "mappo-risk",
        "mappo-execution",
    ]


def keys(config: UnifiedTrainingConfig) -> dict[str, str]:
    return {unit.name: unit.key for unit in units_of_teams(config)}


def test_what_decides_the_result_decides_the_key(tmp_path):
    base = keys(asked())
    assert keys(asked(training=TrainingConfig(**SMALL | {"checkpoint_seconds": 5.0}, total_steps=96))) == base
    bars = tmp_path / "NQ.csv"
    for changes in (
        {"training": TrainingConfig(**SMALL, total_steps=96, seed=1)},
        {"training": TrainingConfig(**SMALL, total_steps=96, gamma=0.5)},
        {"environment": {}},
        {"environment": {"bars": str(bars)}},
    ):
        changed = keys(asked(**changes))
        assert not set(changed.values()) & set(base.values())
    bars.write_text("one")
    first = keys(asked(environment={"bars": str(bars)}))
    bars.write_text("two")
    assert not set(first.values()) & set(keys(asked(environment={"bars": str(bars)})).values())


def test_a_run_of_teams_works_resumes_and_verifies(tmp_path):
    config = asked(enable_hyperparameter_optimization=True)
    record = prepare_run(tmp_path, record_run(tmp_path, config, ["test"], "direct")).record
    assert is_team_run(record) and read_settings(record) == config
    for name in record.units:
        if name.startswith("mappo"):
            with pytest.raises(Preempted):
                run_attempt(tmp_path, record.run_id, name, WORK, Stop(3))
        run_attempt(tmp_path, record.run_id, name, WORK)
    units = {name: unit_of_run(tmp_path, record, name) for name in record.units}
    search = {name: unit.done().metrics["validation_reward"] for name, unit in units.items() if "search" in name}
    training = units["mappo-execution"]
    done = training.done()
    assert done.attempts == 2
    assert done.consumed.keys() == search.keys()
    assert np.isfinite(done.metrics["test_reward"])
    assert (training.outputs / "rewards.md").is_file()
    for name in ("mappo-execution", "search-execution-0"):
        verdict = verify_unit(tmp_path, record, name, WORK)
        assert verdict.equal and verdict.updates > 0, verdict
    straight = tmp_path / "straight"
    again = prepare_run(straight, record_run(straight, config, ["test"], "direct")).record
    for name in again.units:
        run_attempt(straight, again.run_id, name, WORK)
    assert unit_of_run(straight, again, "mappo-execution").done().outputs == done.outputs
    exported = units["onnx-execution"]
    assert unit_of_run(straight, again, "onnx-execution").done().outputs == exported.done().outputs
    manifest = json.loads((exported.outputs / "manifest.json").read_bytes())
    assert manifest["files"] == exported.done().outputs
    bundles = team_bundles(training.outputs)
    for agent, entry in manifest["models"].items():
        bundle = bundles[agent]
        assert entry["weights"] == bundle.digest
        seen = np.random.Generator(np.random.PCG64(0)).standard_normal((20, bundle.layout.width)).astype(np.float32)
        path = exported.outputs / f"{agent}_actor.onnx"
        np.testing.assert_allclose(OnnxActor(path)(seen), bundle.actor.act(seen), atol=1e-5)
        onnx.checker.check_model(str(path))


def test_a_run_of_teams_is_none_of_the_pipeline(tmp_path):
    record = record_run(tmp_path, asked(), ["test"], "direct")
    with pytest.raises(UsageError, match=r"trained teams \(`execution`\), not the pipeline"):
        read_pipeline(record)


def test_files_are_recorded_by_their_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NQ.csv").write_text("bars")
    record = record_run(tmp_path, asked(environment={"bars": "NQ.csv", "split": "train"}), ["test"], "direct")
    assert record.config["environment"] == {"bars": str(tmp_path / "NQ.csv"), "split": "train"}


def test_settings_from_a_file_and_from_the_command_line(tmp_path):
    path = tmp_path / "teams.yaml"
    path.write_text("total_episodes: 7\ntraining:\n  gamma: 0.9\nenvironment:\n  max_cycles: 30\n")
    found = resolve_teams(MODE, path, ["training.n_envs=16", ("training.seed", 3)])
    assert (found.training_mode, found.total_episodes) == (MODE, 7)
    assert (found.training.gamma, found.training.n_envs, found.seed) == (0.9, 16, 3)
    assert found.environment == {"max_cycles": 30}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("training:\n  gama: 0.9\n", r"teams.yaml.* is an unknown key. Did you mean `gamma`"),
        ("training:\n  gamma: 2\n", r"teams.yaml.*gamma"),
        ("training:\n  n_envs: 10\n  rollout_shards: 4\n", "10 rows cannot be cut into 4 equal shards"),
    ],
)
def test_mistakes_are_named_with_their_place(text, problem, tmp_path):
    path = tmp_path / "teams.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        resolve_teams(MODE, path)
