"""`train`, `plan` and `resume`: what they do, say and leave behind."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtquant.store.runs import list_runs, load_run, unit_of_run
from mtquant.store.status import run_status
from tests.cli.conftest import PLAN, SMALL, UNITS, driving, environment

LATE = ["phase3-joint", "phase3-no-peers", "evaluate-report", "export-onnx"]


def planned(cli, *changes):
    """Return the units that `plan` would run."""
    ended = cli("plan", *PLAN, *changes, "--json")
    assert ended.code == 0, ended.err
    return [unit["unit"] for unit in json.loads(ended.out)["units"] if unit["plan"] == "run"]


def content(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def attempts(store):
    record = load_run(store)
    return {name: unit_of_run(store, record, name).attempts() for name in record.units}


def wait_for(what, seconds=60.0):
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.05)


def test_training_makes_what_is_missing_and_says_where_the_results_are(finished):
    ended = finished("train", *SMALL, "--set", "phase3.gamma=0.8")
    assert (ended.code, ended.err) == (0, "")
    record = load_run(finished.root)
    assert attempts(finished.root) == dict.fromkeys(UNITS, 1)
    assert [line.split()[0] for line in ended.out.splitlines() if " reuse " in line] == list(UNITS[:5])
    assert {line.split()[1] for line in ended.out.splitlines() if line.startswith("+ ")} == set(LATE)
    assert "phase3.gamma 0.9 -> 0.8" in ended.out
    report = unit_of_run(finished.root, record, "evaluate-report").outputs / "report.html"
    onnx = unit_of_run(finished.root, record, "export-onnx").outputs
    assert ended.out.splitlines()[-3:-1] == [f"report: {report}", f"onnx: {onnx}"]
    assert report.is_file()
    assert "not yet in MLflow" in ended.out.splitlines()[-1]


def test_training_again_does_nothing_and_says_why(finished):
    before = {path: stamp for path, stamp in content(finished.root).items() if path.is_file()}
    ended = finished("train", *SMALL)
    assert ended.code == 0
    assert "Nothing to do: all 9 units are finished with the same settings, data and code" in ended.out
    assert f"(run {list_runs(finished.root)[0]})" in ended.out
    assert "report: " in ended.out
    assert {path: stamp for path, stamp in content(finished.root).items() if path.is_file()} == before
    assert len(list_runs(finished.root)) == 1


def test_a_changed_setting_touches_only_what_reads_it(finished):
    cli = finished
    before = content(cli.root)
    assert planned(cli) == []
    assert planned(cli, "--set", "phase3.gamma=0.8") == LATE
    assert planned(cli, "--set", "phase2.budget_limit=3.0") == ["phase2-meta", *LATE]
    assert planned(cli, "--set", "evaluation.bootstrap_samples=60") == ["evaluate-report"]
    assert content(cli.root) == before, "a plan changes nothing"


@pytest.mark.parametrize("unit", ["phase1-forex", "evaluate-report"])
def test_a_result_whose_bytes_changed_is_made_again(finished, unit):
    record = load_run(finished.root)
    (output,) = unit_of_run(finished.root, record, unit).outputs.iterdir()
    before = output.read_bytes()
    output.write_bytes(before[:-1] + b"?")
    shutil.rmtree(unit_of_run(finished.root, record, unit).checkpoints.root)
    (entry,) = [entry for entry in json.loads(finished("plan", *PLAN, "--json").out)["units"] if entry["unit"] == unit]
    assert (entry["plan"], "its content changed" in entry["reason"]) == ("run", True)
    assert finished("resume").code == 0
    assert attempts(finished.root) == dict.fromkeys(UNITS, 1) | {unit: 2}
    assert output.read_bytes() == before


def test_one_phase_makes_only_what_it_needs(finished):
    assert finished("train", *SMALL, "--phase", "2", "--set", "phase2.budget_limit=3.0").code == 0
    assert tuple(load_run(finished.root).units) == UNITS[:5]
    assert finished("train", *SMALL, "--phase", "4").code == 2


def test_a_failed_unit_stops_only_what_reads_it(cli):
    (cli.root / "fail-phase1-equity").touch()
    ended = cli("train", *SMALL, "--phase", "2")
    assert ended.code == 7
    assert "Training diverged" in ended.err
    assert f"mtquant logs {load_run(cli.root).run_id} phase1-equity" in ended.err
    assert "report: " not in ended.out
    assert {name for name, count in attempts(cli.root).items() if count} == set(UNITS[:4])
    (cli.root / "fail-phase1-equity").unlink()
    assert cli("resume").code == 0
    assert attempts(cli.root) == dict.fromkeys(UNITS[:5], 1) | {"phase1-equity": 2}
    ended = cli("resume")
    assert (ended.code, "Nothing to do" in ended.out) == (0, True)


def test_json_tells_the_same_story(finished):
    ended = finished("train", *SMALL, "--set", "phase3.gamma=0.8", "--json")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert [unit["unit"] for unit in events[0]["units"]] == list(UNITS)
    done = [e["unit"] for e in events if e["event"] == "progress" and e["state"] == "done"]
    assert sorted(done) == sorted(LATE)
    assert Path(events[-1]["report"]).is_file()


def test_tensorboard_events_on_request(cli):
    assert cli("train", *SMALL, "--phase", "1", "--tensorboard").code == 0
    logs = Path("logs")
    assert len(list(logs.glob("tensorboard/*/phase1-forex/events.out.tfevents.*"))) == 1
    assert (logs / "phase1" / "training.log").is_file()


def test_the_record_exists_before_anything_heavy_is_imported(store):
    code = (
        "import sys\n"
        "from mtquant.cli import train\n"
        "from mtquant.cli.app import run\n"
        "def stop(root, record):\n"
        "    heavy = {'torch', 'pandas', 'mlflow', 'prefect', 'scipy', 'gymnasium', 'matplotlib', 'onnx'}\n"
        "    print(sorted(heavy & set(sys.modules)), record.run_id)\n"
        "    raise KeyboardInterrupt\n"
        "train.prepare_run = stop\n"
        "sys.exit(run(['train', '--profile', 'smoke']))\n"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment(store), capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    assert ended.stdout.split() == ["[]", *list_runs(store)]
    assert run_status(store, load_run(store)).state == "dead"


def test_a_run_killed_at_the_start_is_resumed(cli, monkeypatch):
    def killed(root, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mtquant.cli.train.prepare_run", killed)
        assert cli("train", *SMALL, "--phase", "1").code == 130
    assert load_run(cli.root).units == {}
    assert cli("resume").code == 0
    assert attempts(cli.root) == dict.fromkeys(UNITS[:4], 1)


@pytest.mark.parametrize("engine", ["direct", pytest.param("prefect", marks=pytest.mark.slow)])
def test_a_stop_keeps_everything_and_resume_continues(store, engine):
    (store / "slow-phase1-forex").touch()
    options = [engine if part == "direct" else part for part in SMALL]
    with driving(store, "train", *options, "--phase", "1") as process:
        wait_for(lambda: list(store.glob("units/phase1-forex-*/checkpoints/0*")))
        wait_for(lambda: len(list(store.glob("units/phase1-*/DONE.json"))) == 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    record = load_run(store)
    assert process.returncode == 75, err
    assert "stopping: waiting" in out
    assert f"mtquant resume {record.run_id}" in err
    assert run_status(store, record).state == "stopped"
    (store / "slow-phase1-forex").unlink()
    with driving(store, "resume") as process:
        assert process.wait(timeout=120) == 0
    assert attempts(store) == dict.fromkeys(UNITS[:4], 1) | {"phase1-forex": 2}


def test_a_killed_command_line_leaves_no_trainer(store):
    (store / "slow-phase1-forex").touch()
    with driving(store, "train", *SMALL) as process:
        wait_for(lambda: list(store.glob("units/phase1-forex-*/checkpoints/0*")))
        process.kill()
    record = load_run(store)
    # Every unit that was at work ends by itself, each in its own time.
    wait_for(lambda: run_status(store, record).state == "stopped")
    assert unit_of_run(store, record, "phase1-forex").holder() is None


def test_two_at_once_the_second_says_who_holds_it(cli):
    (cli.root / "slow-phase1-forex").touch()
    with driving(cli.root, "train", *SMALL, "--phase", "1") as first:
        wait_for(lambda: list(cli.root.glob("units/phase1-forex-*/checkpoints/0*")))
        for second in (("train", *SMALL, "--phase", "1"), ("resume",)):
            ended = cli(*second)
            assert ended.code == 6
            assert "held by pid" in ended.err
            assert len(list_runs(cli.root)) == 1
        (cli.root / "slow-phase1-forex").unlink()
        assert first.wait(timeout=60) == 0
