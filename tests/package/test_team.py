"""The package of a trained team: it works by itself, says what is true, and refuses what was altered."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mtquant.agents.learning.critic_bundle import CriticBundle
from mtquant.agents.training.pettingzoo_mappo_trainer import model_folder
from mtquant.agents.training.unified_pettingzoo_trainer import UnifiedPettingZooTrainer
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.context import STORE_VARIABLE
from mtquant.errors import StoreError, UsageError
from mtquant.package.deploy_model import DeployedTeam, differences
from mtquant.package.team import export_package
from mtquant.package.trading_environment import TradingEnvironment, last_observation
from mtquant.store.digests import digest_file
from tests.agents.teams import SMALL

TEAMS = (TrainingMode.TACTICAL_TEAM, TrainingMode.STRATEGIC_TEAM)


def trained(mode: TrainingMode, **changes: object) -> UnifiedPettingZooTrainer:
    config = UnifiedTrainingConfig(
        training_mode=mode,
        training=TrainingConfig(**SMALL | {"n_steps": 24}, total_steps=4 * 24 * 4),
        environment={"max_cycles": 20},
        evaluation_episodes=4,
        validations=3,
        **changes,
    )
    unified = UnifiedPettingZooTrainer(config)
    unified.train()
    return unified


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[TrainingMode, Path]]:
    """Both teams, trained in a store of their own and exported."""
    folder = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, str(folder / "store"))
        yield {mode: export_package(trained(mode), mode, folder / mode) for mode in TEAMS}


@pytest.fixture
def tactical(packages: dict[TrainingMode, Path], tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(packages[TrainingMode.TACTICAL_TEAM], tmp_path / "package"))


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_bytes())


def run(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the package's script where nothing of this project can be imported from the working folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(folder / "deploy_model.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=text, env=environment, cwd=folder, check=False)


@pytest.mark.parametrize("mode", TEAMS)
def test_the_folder_has_what_the_document_lists(mode, packages):
    folder, team = packages[mode], mode.replace("-", "_")
    agents = read(folder, "model_config.json")["order"]
    assert len(agents) == 3
    expected = {f"{agent}_{part}.onnx" for agent in agents for part in ("actor", "critic")}
    expected |= {f"{model}_{team}_model.safetensors" for model in ("best", "final")}
    expected |= {"model_config.json", "training_statistics.json", "validation_results.json", "examples.json"}
    expected |= {"README.md", "deploy_model.py"}
    manifest = read(folder, "manifest.json")
    assert set(manifest["files"]) == expected
    assert manifest["files"] == {name: digest_file(folder / name) for name in expected}
    plots = {"training.png", "agent_rewards.png", "coordination.png"}
    assert {path.name for path in (folder / "plots").iterdir()} == plots
    assert {path.name for path in folder.iterdir()} == expected | {"manifest.json", "plots"}


def test_figures_are_those_of_the_training(packages):
    folder = packages[TrainingMode.TACTICAL_TEAM]
    statistics, measured = read(folder, "training_statistics.json"), read(folder, "validation_results.json")
    described = read(folder, "model_config.json")
    totals = np.array(statistics["history"]["rewards"]["all agents"])
    assert statistics["results"]["final_reward"] == pytest.approx(totals[-1])
    assert statistics["results"]["best_reward"] == pytest.approx(totals.max())
    rewards = {line["step"]: line["reward"] for line in measured["validation"]["history"]}
    assert rewards[described["models"]["best"]["steps"]] == max(rewards.values())
    assert described["models"]["final"]["steps"] == statistics["results"]["steps"] == 4 * 24 * 4
    text = (folder / "README.md").read_text()
    for model in ("best", "final"):
        assert f"| {model} | {described['models'][model]['steps']} |" in text
        assert f"{measured['test'][model]['reward']:.4g}" in text


def test_the_script_runs_by_itself(packages):
    folder = packages[TrainingMode.STRATEGIC_TEAM]
    checked = run(folder)
    assert (checked.returncode, checked.stdout) == (0, "All models answer as exported.\n"), checked.stderr
    examples = read(folder, "examples.json")
    asked = json.dumps({agent: example["observation"] for agent, example in examples.items()})
    names = read(folder, "model_config.json")["agents"]
    for model, of in (("onnx", "best"), ("final", "final")):
        said = json.loads(run(folder, "--observations", "-", "--model", model, text=asked).stdout)
        for agent, example in examples.items():
            indices = [names[agent]["actions"]["names"].index(word) for word in said[agent]]
            assert indices == [action[0] for action in example[of]["action"]]


def test_answers_are_those_of_the_trained_networks(packages, monkeypatch):
    folder = packages[TrainingMode.TACTICAL_TEAM]
    monkeypatch.setenv(STORE_VARIABLE, str(folder.parent / "store"))
    unified = trained(TrainingMode.TACTICAL_TEAM)
    trainer = unified.trainers[TrainingMode.TACTICAL_TEAM]
    rng = np.random.Generator(np.random.PCG64(0))
    for model, of in (("onnx", "best"), ("best", "best"), ("final", "final")):
        team = DeployedTeam(folder, model)
        for agent, bundle in trainer.bundles(of).items():
            seen = rng.standard_normal((50, bundle.layout.width)).astype(np.float32)
            clear = bundle.actor.margin(seen) > 1e-4
            np.testing.assert_array_equal(team.act(agent, seen)[clear], bundle.actor.act(seen)[clear])
            critic = CriticBundle.load(model_folder(trainer.unit.outputs, of) / agent)
            state = rng.standard_normal((50, critic.state)).astype(np.float32)
            np.testing.assert_allclose(team.value(agent, seen, state), critic.values(seen, state), rtol=1e-4, atol=1e-5)


def test_numbers_as_actions_are_within_their_bounds(tmp_path):
    """The agents of the execution environment choose numbers, and their spaces differ."""
    folder = export_package(trained(TrainingMode.EXECUTION), TrainingMode.EXECUTION, tmp_path / "execution")
    assert differences(folder) == []
    team = DeployedTeam(folder, "final")
    for agent, told in team.config["agents"].items():
        said = team.act(agent, np.full((2, told["observation"]), 1e3))
        assert said.shape == (2, told["actions"]["size"])
        assert (said >= told["actions"]["low"]).all() and (said <= told["actions"]["high"]).all()


def test_an_altered_model_is_refused(tactical):
    path = tactical / "risk_agent_actor.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match=r"risk_agent_actor.onnx is not the file that was exported"):
        DeployedTeam(tactical)
    with pytest.raises(StoreError, match="cannot be used"):
        TradingEnvironment().load_tactical_agents(tactical)
    assert run(tactical).returncode == 1


def test_another_answer_is_found(tactical):
    examples = read(tactical, "examples.json")
    action = examples["risk_agent"]["best"]["action"]
    action[0][0] = (action[0][0] + 1) % 5
    (tactical / "examples.json").write_text(json.dumps(examples))
    assert differences(tactical) == ["onnx/risk_agent", "best/risk_agent"]
    ended = run(tactical)
    assert ended.returncode == 1 and "onnx/risk_agent" in ended.stdout


def test_questions_that_cannot_be_answered_are_named(packages):
    team = DeployedTeam(packages[TrainingMode.TACTICAL_TEAM])
    with pytest.raises(ValueError, match="no agent `nobody`"):
        team.act("nobody", [[0.0]])
    with pytest.raises(ValueError, match=r"rows of 7 numbers; what was given has the shape \(1, 6\)"):
        team.act("risk_agent", [[0.0] * 6])


def test_a_package_needs_a_training_and_a_folder_of_its_own(tmp_path):
    unified = UnifiedPettingZooTrainer(UnifiedTrainingConfig(training_mode=TrainingMode.TACTICAL_TEAM))
    with pytest.raises(UsageError, match="call `train` first"):
        export_package(unified, TrainingMode.TACTICAL_TEAM, tmp_path / "nothing")


def test_both_teams_act_in_one_environment(packages):
    env = TradingEnvironment()
    with pytest.raises(UsageError, match="call `load_tactical_agents` first"):
        env.get_tactical_actions(None)
    with pytest.raises(UsageError, match=r"of the mode `strategic-team`; a package of `tactical-team`"):
        env.load_tactical_agents(packages[TrainingMode.STRATEGIC_TEAM])
    env.load_tactical_agents(packages[TrainingMode.TACTICAL_TEAM])
    env.load_strategic_agents(packages[TrainingMode.STRATEGIC_TEAM])
    for team, actions in (("tactical", env.get_tactical_actions(None)), ("strategic", env.get_strategic_actions(None))):
        loaded = env.teams[team]
        assert list(actions) == loaded.agents
        seen = last_observation(team, loaded, None, 0.0)
        for agent, word in actions.items():
            names = loaded.config["agents"][agent]["actions"]["names"]
            assert word == names[int(loaded.act(agent, seen[agent])[0, 0])]
    held = last_observation("tactical", env.teams["tactical"], None, 1.5)["risk_agent"]
    assert held[0, -1] == 1.5, "the exposure held is the last column"
