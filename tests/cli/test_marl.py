"""`marl`: its settings, units and results, and what other commands make of a run of teams."""

import json
from pathlib import Path

import pytest

from mtquant.config.marl import TrainingMode
from mtquant.execution.attempt import read_settings
from mtquant.store.runs import list_runs, load_run, unit_of_run

SMALL = ("marl", "execution", "--engine", "direct", "--set", "training.total_steps=64")
SEARCH = ("--search", "--set", "search_rates=[0.001, 0.01]")


def attempts(store):
    record = load_run(store)
    return {name: unit_of_run(store, record, name).attempts() for name in record.units}


def test_a_team_is_searched_trained_and_exported(cli):
    ended = cli(*SMALL, *SEARCH)
    assert (ended.code, ended.err) == (0, "")
    units = ["search-execution-0", "search-execution-1", "mappo-execution", "onnx-execution"]
    assert attempts(cli.root) == dict.fromkeys(units, 1)
    record = load_run(cli.root)
    report, onnx = (unit_of_run(cli.root, record, name).outputs for name in units[2:])
    lines = ended.out.splitlines()
    assert f"execution: {report / 'rewards.md'}" in lines
    assert f"execution onnx: {onnx}" in lines


def test_training_again_does_nothing(cli):
    assert cli(*SMALL).code == 0
    ended = cli(*SMALL)
    assert "Nothing to do: all 2 units are finished with the same settings" in ended.out
    assert len(list_runs(cli.root)) == 1
    changed = cli(*SMALL, "--seed", "1")
    assert changed.code == 0 and "Nothing to do" not in changed.out
    assert len(list_runs(cli.root)) == 2


def test_a_run_that_failed_continues(cli):
    fail = cli.root / "fail-mappo-execution"
    fail.touch()
    ended = cli(*SMALL)
    assert ended.code == 7 and "mappo-execution" in ended.err
    assert json.loads(cli("status", "--json").out)["state"] == "failed"
    fail.unlink()
    assert cli("resume").code == 0
    assert attempts(cli.root) == {"mappo-execution": 2, "onnx-execution": 1}
    assert cli("resume", "--from", "onnx").code == 0
    assert attempts(cli.root) == {"mappo-execution": 2, "onnx-execution": 2}


def test_options_are_settings(cli):
    Path("teams.yaml").write_text("evaluation_episodes: 7\n")
    given = ("--config", "teams.yaml", "--episodes", "9", "--bars", "gp-easy", "--seed", "3", "--curriculum")
    assert cli("marl", "tactical-team", "--engine", "direct", *given, "--set", "training.gamma=0.5").code == 0
    found = read_settings(load_run(cli.root))
    assert (found.training_mode, found.total_episodes, found.seed) == (TrainingMode.TACTICAL_TEAM, 9, 3)
    assert (found.evaluation_episodes, found.training.gamma) == (7, 0.5)
    assert found.environment == {"bars": "gp-easy"}
    assert found.enable_curriculum_learning and not found.enable_hyperparameter_optimization


@pytest.mark.parametrize(
    ("code", "text", "arguments"),
    [
        (2, "'tacticl' is not one of", ["tacticl"]),
        (2, "--episodes", ["execution", "--episodes", "0"]),
        (3, "Did you mean `gamma`", ["execution", "--set", "training.gama=0.9"]),
        (3, "Did you mean `strategic_marl`", ["strategic", "--set", "environment.config={strategc_marl: {}}"]),
        (3, "teams take `schedule` or `uniform`", ["risk", "--curriculum", "--set", "curriculum.kind=adr"]),
        (
            4,
            "`nowhere.csv` is neither a file of one instrument's bars nor a planted market",
            ["tactical", "--bars", "nowhere.csv"],
        ),
    ],
)
def test_mistakes_have_their_exit_codes(cli, code, text, arguments):
    ended = cli("marl", *arguments, "--engine", "direct")
    assert (ended.code, "Traceback" in ended.err) == (code, False)
    assert text in ended.err


def test_other_commands_know_a_run_of_teams(cli):
    assert cli(*SMALL).code == 0
    (run,) = list_runs(cli.root)
    assert "mappo-execution" in cli("status").out
    assert run in cli("runs", "list").out
    assert cli("logs", run, "mappo-execution").code == 0
    for command in ("evaluate", "export"):
        ended = cli(command, run)
        assert ended.code == 2
        assert "trained teams (`execution`), not the pipeline" in ended.err
