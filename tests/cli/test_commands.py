"""`config`, `import`, `oracle`, `evaluate`, `export`, `sync` and the documents' scripts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mtquant.cli import documented
from mtquant.cli.oracle import embedded_gap, gap_sentence, references
from mtquant.config.load import from_yaml, load_pipeline
from mtquant.context import Streams
from mtquant.store.runs import list_runs, load_run, unit_of_run
from mtquant.tracking.location import tracking_uri
from mtquant.tracking.published import pending_units
from tests.cli.conftest import UNITS

LOGS = ("--log-dir", "logs", "--tensorboard")


def test_settings_are_shown_as_they_are_used(cli):
    ended = cli("config", "show", "--profile", "smoke", "--set", "phase1.ppo.gamma=0.5")
    assert from_yaml(ended.out) == load_pipeline("smoke", None, ["phase1.ppo.gamma=0.5"])
    assert json.loads(cli("config", "show", "--profile", "smoke", "--json").out)["seed"] == 0


def test_settings_are_checked_and_compared(cli):
    assert cli("config", "check", "--profile", "smoke").out.startswith("valid: 8 instruments in 3 groups")
    Path("mine.yaml").write_text("phase2: {decision_bars: 6}\n")
    found = json.loads(cli("config", "diff", "mine.yaml", "default", "--json").out)
    assert {"key": "phase2.decision_bars", "mine.yaml": 6, "default": 5} in found
    assert cli("config", "diff", "smoke", "smoke").out == "no difference\n"
    assert cli("config", "diff", "smoke", "nothing").code == 2
    Path("wrong.yaml").write_text("phase2: {decision_bar: 6}\n")
    ended = cli("config", "check", "--config", "wrong.yaml")
    assert ended.code == 3
    assert "wrong.yaml" in ended.err
    assert "Share of the way" in cli("config", "explain", "phase2.budget_smoothing").out


def test_a_run_can_be_compared_with_a_profile(finished):
    found = json.loads(finished("config", "diff", load_run(finished.root).run_id, "smoke", "--json").out)
    assert "data.source" in {entry["key"] for entry in found}


def test_bars_are_imported_and_reported(cli):
    rng = Streams(0).rng("bars")
    close = 1.1 * np.exp(np.cumsum(0.005 * rng.standard_normal(60)))
    days = np.datetime64("2020-01-06") + np.arange(60) * 7 // 5 * 1
    rows = [f"{day},{c:.5f},{c * 1.002:.5f},{c * 0.998:.5f},{c:.5f},100" for day, c in zip(days, close, strict=True)]
    Path("EURUSD_D1.csv").write_text("\n".join(["time,open,high,low,close,volume", *dict.fromkeys(rows)]) + "\n")
    ended = cli("import", "EURUSD_D1.csv", "--out", "bars")
    assert ended.code == 0, ended.err
    assert "EURUSD_D1.parquet" in ended.out
    assert Path("bars/EURUSD_D1.parquet").is_file()
    assert cli("import", "EURUSD=EURUSD_D1.csv", "EURUSD_D1.csv", "--out", "bars").code == 2


def test_the_yardsticks_of_a_planted_market():
    found = {entry.policy: entry for entry in references("gp-easy", 4, 400, 0)}
    assert found["joint"].low <= found["joint"].utility <= found["joint"].high
    assert found["markowitz"].utility < found["joint"].utility


def test_the_embedded_market_says_how_tight_its_bound_is():
    found = references("embedded", 4, 400, 0)
    gap = embedded_gap(found)
    assert gap["bound"] == pytest.approx(0.12614, abs=6e-6)
    assert gap["joint_share"] == pytest.approx(1.0 - gap["gap"])
    assert 0.8 < gap["joint_share"] < 1.0
    assert f"{gap['joint_share']:.1%}" in gap_sentence(gap)


@pytest.mark.parametrize("market", ["spread", "hidden-regime"])
def test_references_are_those_of_the_law(market):
    found = {entry.policy: entry.utility for entry in references(market, 4, 400, 0)}
    best = {"spread": "phase1", "hidden-regime": "full-information"}[market]
    assert max(found, key=lambda name: found[name]) == best


def test_evaluate_and_export_of_a_finished_run_show_what_is_there(finished):
    ended = finished("evaluate")
    assert (ended.code, "Nothing to do" in ended.out, "report: " in ended.out) == (0, True, True)
    assert len(list_runs(finished.root)) == 1
    assert finished("export").code == 0


def test_evaluate_with_another_split_makes_a_run_of_its_own(finished):
    origin = load_run(finished.root)
    assert finished("evaluate", origin.run_id, "--split", "validation", "--episodes", "8").code == 0
    made = load_run(finished.root)
    assert made.origin == origin.run_id
    assert tuple(made.units) == UNITS[:-1]
    assert made.config["evaluation"]["paired_episodes"] == 8
    changed = {name for name in made.units if made.units[name] != origin.units[name]}
    assert changed == {"evaluate-report"}
    assert unit_of_run(finished.root, made, "evaluate-report").done()
    assert finished("evaluate", "--split", "tset").code == 2


def test_sync_publishes_what_is_pending(finished, tmp_path_factory):
    record = load_run(finished.root)
    assert set(pending_units(finished.root, record, tracking_uri(finished.root))) >= set(UNITS)
    database = _template(tmp_path_factory)
    shutil.copy(database, finished.root / "mlflow.db")
    ended = finished("sync")
    assert ended.code == 0, ended.err
    assert pending_units(finished.root, record, tracking_uri(finished.root)) == []
    assert finished("sync").out == f"{record.run_id}: published, 0 new points\n"


def test_sync_says_what_could_not_be_published(finished, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = finished("sync")
    assert (ended.code, "1 of 1 runs could not be published" in ended.err) == (1, True)
    assert "to http://127.0.0.1:9." in ended.err


def _template(factory):
    import warnings

    from sqlalchemy.exc import SADeprecationWarning

    from mtquant.tracking.publisher import Publisher

    root = factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SADeprecationWarning)
        assert Publisher(root).client.search_experiments()
    return root / "mlflow.db"


@pytest.mark.parametrize(
    ("script", "argv", "expected"),
    [
        (
            documented.training_pipeline,
            ["--mode", "train", "--config", "config/agents.yaml", "--log-dir", "logs", "--device", "cuda"],
            [["train", "--config", "config/agents.yaml", "--set", "device=cuda", *LOGS]],
        ),
        (documented.training_pipeline, ["--mode", "resume"], [["resume", *LOGS]]),
        (
            documented.training_pipeline,
            ["--mode", "eval", "--eval-episodes", "200"],
            [["evaluate", "--episodes", "200"]],
        ),
        (
            documented.end_to_end_training,
            ["--phase1-timesteps", "5", "--phase2-timesteps", "6", "--phase3-timesteps", "7", "--engine", "direct"],
            [
                [
                    "train",
                    *LOGS,
                    "--set",
                    "phase1.timesteps=5",
                    "--set",
                    "phase2.timesteps=6",
                    "--set",
                    "phase3.timesteps=7",
                    "--engine",
                    "direct",
                ]
            ],
        ),
    ],
)
def test_the_documents_scripts(cli, script, argv, expected):
    said = []
    assert script(argv, lambda arguments: said.append(list(arguments)) or 0) == 0
    assert said == expected


def test_options_without_effect_are_named(cli, capsys, monkeypatch):
    monkeypatch.setenv("MTQUANT_STORE", "elsewhere")
    said = []
    argv = ["--mode", "eval", "--config", "x.yaml", "--device", "cuda", "--output-dir", "models/checkpoints"]
    assert documented.training_pipeline(argv, lambda arguments: said.append(list(arguments)) or 0) == 0
    assert said == [["evaluate"]]
    told = capsys.readouterr().err
    assert "--config and --device count when a run is begun" in told
    assert "export MTQUANT_STORE=models/checkpoints" in told


def test_phase_scripts_share_a_store_and_keep_earlier_lengths(cli, monkeypatch):
    monkeypatch.setenv("MTQUANT_STORE", "elsewhere")
    said = []

    def heard(arguments):
        said.append(list(arguments))
        return 0

    flags = "--output-dir models/checkpoints/phase3 --log-dir logs/phase3 --timesteps 9 --eval-episodes 100"
    documented.phase_training(3, flags.split(), heard)
    assert said == [["train", "--phase", "3", *LOGS, "--set", "phase3.timesteps=9"], ["evaluate", "--episodes", "100"]]
    assert documented.os.environ["MTQUANT_STORE"] == "models/checkpoints"


def test_phase_scripts_reuse_what_earlier_phases_trained(finished):
    said = []
    documented.phase_training(2, ["--timesteps", "9"], lambda arguments: said.append(list(arguments)) or 0)
    assert said == [["train", "--phase", "2", *LOGS, "--set", "phase1.timesteps=100", "--set", "phase2.timesteps=9"]]
