"""The flow: what Prefect shows of units that were trained, reused, failed, skipped and stopped."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from mtquant.errors import TrainingError
from mtquant.execution.direct import run_direct
from mtquant.execution.supervisor import Supervisor
from mtquant.store.runs import read_events, unit_of_run
from mtquant.store.status import run_status
from tests.flows.conftest import REPOSITORY
from tests.flows.drive import COMMAND

UNITS = (
    "dataset-market",
    "phase1-forex",
    "phase1-commodities",
    "phase1-equity",
    "phase2-meta",
    "phase3-joint",
    "phase3-no-peers",
    "evaluate-report",
    "export-onnx",
)


def wait_for(what, seconds=90.0):
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.05)


def process_of(flows, run, unit):
    """Return the pid of a unit's newest process, or None."""
    events = read_events(flows.root, run.record.run_id)
    return next((e["pid"] for e in reversed(events) if e["event"] == "unit-started" and e["unit"] == unit), None)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def attempts(flows, run):
    return {name: unit_of_run(flows.root, run.record, name).attempts() for name in run.record.units}


def test_prefect_tells_reused_failed_and_skipped_apart(flows, monkeypatch):
    run = flows.prepared()
    (flows.root / "fail-phase1-equity").touch()
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    supervisor = Supervisor(flows.root, run.record.run_id, command=COMMAND)
    with pytest.raises(TrainingError):
        run_direct(supervisor, run.units)
    assert flows.execute(run) == 7
    assert "phase1-equity failed" in flows.ending(run)
    state, tasks = flows.states(run)
    assert state == "Failed"
    reused = ("dataset-market", "phase1-forex", "phase1-commodities")
    assert tasks == dict.fromkeys(UNITS, "Skipped") | dict.fromkeys(reused, "Reused") | {"phase1-equity": "Failed"}
    assert attempts(flows, run) == dict.fromkeys(UNITS, 0) | dict.fromkeys(reused, 1) | {"phase1-equity": 2}


@pytest.mark.slow
def test_a_failure_cancels_no_sibling_and_a_later_flow_does_only_what_is_left(flows):
    run = flows.prepared()
    (flows.root / "fail-phase1-equity").touch()
    assert flows.execute(run) == 7
    _, tasks = flows.states(run)
    finished = ("dataset-market", "phase1-forex", "phase1-commodities")
    assert tasks == dict.fromkeys(UNITS, "Skipped") | dict.fromkeys(finished, "Completed") | {"phase1-equity": "Failed"}
    (flows.root / "fail-phase1-equity").unlink()
    again = flows.prepared()
    assert flows.execute(again) == 0
    assert flows.states(again) == ("Completed", dict.fromkeys(UNITS, "Completed") | dict.fromkeys(finished, "Reused"))
    assert attempts(flows, again) == dict.fromkeys(UNITS, 1) | {"phase1-equity": 2}


@pytest.mark.slow
def test_a_stop_reaches_the_units_and_the_next_flow_continues(flows):
    run = flows.prepared()
    (flows.root / "slow-phase1-forex").touch()
    flow = subprocess.Popen(flows.command(run), env=flows.environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: process_of(flows, run, "phase1-forex"))
    wait_for(unit_of_run(flows.root, run.record, "phase1-forex").checkpoints.newest_step)
    flow.send_signal(signal.SIGTERM)
    assert flow.wait(timeout=60) == 75
    assert f"mtquant resume {run.record.run_id}" in flows.ending(run)
    assert run_status(flows.root, run.record).state == "stopped"
    assert not alive(process_of(flows, run, "phase1-forex"))
    assert flows.states(run)[0] in ("Stopped", "Crashed")
    (flows.root / "slow-phase1-forex").unlink()
    assert flows.execute(run) == 0
    assert attempts(flows, run)["phase1-forex"] == 2
    assert set(attempts(flows, run).values()) == {1, 2}


@pytest.mark.slow
def test_a_killed_flow_leaves_no_trainer_and_its_server_is_ended_by_the_next(flows):
    run = flows.prepared()
    (flows.root / "slow-phase1-forex").touch()
    flow = subprocess.Popen(flows.command(run), env=flows.environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: process_of(flows, run, "phase1-forex"))
    note = flows.root / "prefect" / "ephemeral-server.json"
    server = int(note.read_text().split('"server": ')[1].split(",")[0])
    flow.kill()
    flow.wait()
    wait_for(lambda: not alive(process_of(flows, run, "phase1-forex")), 30)
    assert alive(server)
    (flows.root / "slow-phase1-forex").unlink()
    assert flows.execute(run) == 0
    assert not alive(server)
    assert not note.exists()


@pytest.mark.slow
def test_units_stop_when_the_command_line_that_started_the_flow_dies(flows):
    run = flows.prepared()
    (flows.root / "slow-phase1-forex").touch()
    command = [*flows.command(run), "--supervised"]
    flow = subprocess.Popen(command, env=flows.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_for(lambda: process_of(flows, run, "phase1-forex"))
    flow.stdin.close()
    assert flow.wait(timeout=60) == 75
    assert flows.states(run)[0] == "Stopped"


def test_a_prefect_that_cannot_start_says_what_else_is_possible(flows):
    run = flows.prepared()
    environment = flows.environment | {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    ended = subprocess.run(flows.command(run), env=environment, check=False, capture_output=True, timeout=150)
    assert ended.returncode == 1
    assert "Prefect could not start" in flows.ending(run)
    assert "`--engine direct`" in flows.ending(run)
    assert set(attempts(flows, run).values()) == {0}
