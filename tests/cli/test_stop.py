"""`stop` ends what it can prove to be the run, waits for the checkpoints, and leaves everything else alone."""

import os
import signal
import subprocess
import sys

import pytest

from mtquant.cli.processes import has_open
from mtquant.store.locks import locked
from mtquant.store.runs import (
    append_event,
    begin_holder,
    create_run,
    load_run,
    read_events,
    run_folder,
    run_lock,
    unit_of_run,
)
from mtquant.store.status import run_status
from tests.cli.conftest import SMALL, driving, environment
from tests.cli.test_train import attempts, wait_for


def begun(store):
    return list(store.glob("units/phase1-forex-*/checkpoints/0*"))


@pytest.mark.parametrize("engine", ["direct", pytest.param("prefect", marks=pytest.mark.slow)])
def test_a_stopped_run_continues(cli, engine):
    (cli.root / "slow-phase1-forex").touch()
    options = [engine if part == "direct" else part for part in SMALL]
    with driving(cli.root, "train", *options, "--phase", "1") as process:
        wait_for(lambda: begun(cli.root))
        ended = cli("stop", "--timeout", "60")
        assert ended.code == 0, ended.err
        record = load_run(cli.root)
        assert f"asked the run {record.run_id} (pid " in ended.out
        assert ended.out.endswith(f"has stopped. Continue exactly with: mtquant resume {record.run_id}\n")
        assert not list(cli.root.glob("units/*/checkpoints/.tmp-*"))
        assert process.wait(timeout=60) == 75
    assert run_status(cli.root, record).state == "stopped"
    (cli.root / "slow-phase1-forex").unlink()
    assert cli("resume", "--engine", "direct").code == 0
    assert attempts(cli.root)["phase1-forex"] == 2


def test_a_run_that_is_still_being_prepared_is_stopped(cli):
    code = (
        "import pathlib, time; from mtquant.store.runs import begin_lock, create_run\n"
        "root = pathlib.Path('store'); record = create_run(root, [], {}, 'direct')\n"
        "with begin_lock(root, record.run_id): time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        wait_for(lambda: list(cli.root.glob("runs/*/run.json")) and begin_holder(cli.root, load_run(cli.root).run_id))
        assert run_status(cli.root, load_run(cli.root)).state == "preparing"
        ended = cli("stop")
        assert (ended.code, "has stopped" in ended.out) == (0, True)
        assert "stopped\nits units are not known yet" in cli("status").out
        assert process.wait(timeout=20) == -signal.SIGTERM


def test_units_whose_engine_was_killed_are_stopped(cli):
    assert cli("train", *SMALL, "--phase", "1").code == 0
    record = load_run(cli.root)
    unit = unit_of_run(cli.root, record, "phase1-forex")
    unit.set_aside(checkpoints=True)
    (cli.root / "slow-phase1-forex").touch()
    command = [sys.executable, "-m", "tests.cli.toy", "--run", record.run_id, "--unit", "phase1-forex"]
    with subprocess.Popen(command, env=environment(cli.root), stdout=subprocess.DEVNULL) as process:
        wait_for(unit.holder)
        wait_for(lambda: unit.attempts() == 2)
        other = create_run(cli.root, [], {}, "direct")
        assert "Nothing runs here" in cli("stop", other.run_id).out
        ended = cli("stop", record.run_id)
        assert ended.code == 0, ended.err
        assert "the unit phase1-forex, whose engine is gone" in ended.out
        assert process.wait(timeout=20) == 75


def test_a_unit_that_another_run_makes_is_left_alone(cli):
    assert cli("train", *SMALL, "--phase", "1").code == 0
    first = load_run(cli.root)
    unit = unit_of_run(cli.root, first, "phase1-forex")
    unit.set_aside(checkpoints=True)
    (cli.root / "slow-phase1-forex").touch()
    with driving(cli.root, "train", *SMALL, "--phase", "2") as process:
        wait_for(lambda: unit.attempts() == 2 and unit.holder())
        ended = cli("stop", first.run_id)
        assert (ended.code, "another run is making units of it" in ended.out) == (0, True)
        assert unit.holder() is not None
        assert cli("stop").code == 0
        assert process.wait(timeout=60) == 75


def test_nothing_to_stop_is_said(finished):
    assert "is done; there is nothing to stop" in finished("stop").out
    record = create_run(finished.root, [], {}, "direct")
    ended = finished("stop")
    assert (ended.code, f"is dead. Continue it with: mtquant resume {record.run_id}" in ended.out) == (0, True)
    assert finished("stop", "1999").code == 2


def test_a_run_on_another_machine_is_not_touched(cli):
    record = create_run(cli.root, [], {}, "direct")
    with run_lock(cli.root, record.run_id):
        (run_folder(cli.root, record.run_id) / "lock").write_text('{"pid": 1, "host": "elsewhere", "since": "then"}')
        ended = cli("stop")
    assert ended.code == 6
    assert "held by pid 1 on elsewhere" in ended.err
    assert "Run `mtquant stop` there" in ended.err


def test_a_process_that_only_has_the_number_is_not_touched(cli):
    record = create_run(cli.root, [], {}, "direct")
    lock = run_folder(cli.root, record.run_id) / "lock"
    with subprocess.Popen(["sleep", "60"]) as innocent:
        with run_lock(cli.root, record.run_id):
            lock.write_text(lock.read_text().replace(str(os.getpid()), str(innocent.pid)))
            ended = cli("stop", "--timeout", "0.5")
        assert ended.code == 6
        assert "but it is not pid" in ended.err
        assert "kill" not in ended.err
        assert innocent.poll() is None
        innocent.kill()


def test_nobody_is_asked_twice(cli):
    # A second signal would end the units of a flow at once.
    record = create_run(cli.root, [], {}, "direct")
    code = (
        "import signal, sys, pathlib, time; from mtquant.store.runs import run_lock\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
        f"with run_lock(pathlib.Path('store'), '{record.run_id}'):\n"
        "    print('ready', flush=True)\n"
        "    while not pathlib.Path('enough').exists(): time.sleep(0.05)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for said in ("asked the run", "was asked to stop before"):
            ended = cli("stop", "--timeout", "0.5")
            assert (ended.code, said in ended.out) == (6, True)
            assert f"kill -KILL {process.pid}" in ended.err
        (cli.root.parent / "enough").touch()
        assert process.communicate(timeout=20)[0] == "asked\n"
    assert [event["event"] for event in read_events(cli.root, record.run_id)] == ["stop-asked"]


def test_an_engine_is_not_asked_again_after_the_command_that_starts_it(cli):
    record = create_run(cli.root, [], {}, "direct")
    code = (
        "import signal, pathlib, time; from mtquant.store.runs import begin_lock, run_lock\n"
        "asked = []; signal.signal(signal.SIGTERM, lambda *_: asked.append(1))\n"
        f"root, run = pathlib.Path('store'), '{record.run_id}'\n"
        "with begin_lock(root, run):\n"
        "    print('ready', flush=True)\n"
        "    while not asked: time.sleep(0.05)\n"
        "    time.sleep(1.1); engine = run_lock(root, run); engine.__enter__()\n"
        "time.sleep(1); print(len(asked), flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        ended = cli("stop")
        assert (ended.code, ended.out.count("asked the run")) == (0, 1)
        assert process.communicate(timeout=20)[0] == "1\n"


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([("stop-asked", {})], "stopped"),
        ([("stop-asked", {}), ("resumed", {})], "dead"),
        ([("run-started", {}), ("run-ended", {"states": {"a": "stopped"}})], "stopped"),
        ([("run-started", {}), ("flow-ended", {"exit_code": 75})], "stopped"),
        ([("run-started", {}), ("flow-ended", {"exit_code": 1})], "dead"),
    ],
)
def test_a_run_that_stopped_before_any_unit_began_is_not_dead(cli, events, state):
    record = create_run(cli.root, [], {}, "direct")
    append_event(cli.root, record.run_id, "created")
    for name, details in events:
        append_event(cli.root, record.run_id, name, **details)
    assert run_status(cli.root, record).state == state


def test_who_has_a_file_open_is_found(tmp_path):
    path = tmp_path / "lock"
    with locked(path, "it"):
        assert has_open(os.getpid(), path)
    assert not has_open(os.getpid(), path)
    with subprocess.Popen(["true"]) as gone:
        pass
    assert not has_open(gone.pid, path)
