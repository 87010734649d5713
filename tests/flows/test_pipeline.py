"""The flow: what Prefect shows of units that were trained, reused, failed, skipped and stopped."""

import signal
import sqlite3
import subprocess

import pytest
from mlflow import MlflowClient

from flows.embedded import Server
from mtquant.errors import TrainingError
from mtquant.execution.direct import run_direct
from mtquant.execution.supervisor import Supervisor
from mtquant.store.promotions import read_assignments
from mtquant.store.runs import read_events, unit_of_run
from mtquant.store.status import run_status
from tests.flows.conftest import NODES, REPOSITORY, UNITS, wait_for
from tests.flows.drive import COMMAND


def begun(flows, run, unit):
    """Return whether a process of the unit was started."""
    events = read_events(flows.root, run.record.run_id)
    return any(event["event"] == "unit-started" and event["unit"] == unit for event in events)


def test_prefect_tells_reused_failed_and_skipped_apart(flows, monkeypatch):
    run = flows.prepared()
    (flows.root / "fail-phase1-equity").touch()
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    supervisor = Supervisor(flows.root, run.record.run_id, command=COMMAND)
    with pytest.raises(TrainingError):
        run_direct(supervisor, run.units)
    assert flows.execute(run) == 7
    assert "phase1-equity failed" in flows.ending(run)
    state, tasks = flows.states(run.record.run_id)
    assert state == "Failed"
    reused = ("dataset-market", "phase1-forex", "phase1-commodities")
    assert tasks == dict.fromkeys(NODES, "Skipped") | dict.fromkeys(reused, "Reused") | {"phase1-equity": "Failed"}
    assert flows.attempts(run) == dict.fromkeys(UNITS, 0) | dict.fromkeys(reused, 1) | {"phase1-equity": 2}
    assert not read_assignments(flows.root)
    assert edges(flows, run) == EDGES


EDGES = {
    "dataset-market": set(),
    "phase1-forex": {"dataset-market"},
    "phase1-commodities": {"dataset-market"},
    "phase1-equity": {"dataset-market"},
    "gate": {"phase1-forex", "phase1-commodities", "phase1-equity"},
    "phase2-meta": {"gate"},
    "phase3-joint": {"phase2-meta"},
    "phase3-no-peers": {"phase2-meta"},
    "evaluate-report": {"phase3-joint", "phase3-no-peers"},
    "export-onnx": {"phase3-joint"},
    "register": {"evaluate-report", "export-onnx"},
}


def edges(flows, run):
    """Return what Prefect draws: task to the tasks it comes after."""
    with sqlite3.connect(flows.root / "prefect" / "prefect.db") as database:
        rows = database.execute(
            "select task_run.name, before.name from task_run "
            "left join json_each(task_run.task_inputs, '$.needs') as edge "
            "left join task_run as before on before.id = json_extract(edge.value, '$.id')"
        ).fetchall()
    found = {name: set() for name, _ in rows}
    for name, before in rows:
        found[name] |= {before} - {None}
    return found


def tracked(flows, run):
    """Return what MLflow says of the run: its state there, and the store's."""
    client = MlflowClient(f"sqlite:///{flows.root}/mlflow.db")
    found = [
        entry
        for experiment in client.search_experiments()
        for entry in client.search_runs([experiment.experiment_id])
        if entry.info.run_name == run.record.run_id
    ]
    assert len(found) == 1
    return found[0].info.status, found[0].data.tags["mtquant.state"]


@pytest.mark.slow
def test_a_failure_cancels_no_sibling_and_a_later_flow_does_only_what_is_left(flows):
    flows.tracked = True
    run = flows.prepared()
    (flows.root / "fail-phase1-equity").touch()
    assert flows.execute(run) == 7
    _, tasks = flows.states(run.record.run_id)
    finished = ("dataset-market", "phase1-forex", "phase1-commodities")
    assert tasks == dict.fromkeys(NODES, "Skipped") | dict.fromkeys(finished, "Completed") | {"phase1-equity": "Failed"}
    assert tracked(flows, run) == ("FAILED", "failed")
    (flows.root / "fail-phase1-equity").unlink()
    again = flows.prepared()
    assert flows.execute(again) == 0
    expected = dict.fromkeys(NODES, "Completed") | dict.fromkeys(finished, "Reused")
    assert flows.states(again.record.run_id) == ("Completed", expected)
    assert flows.attempts(again) == dict.fromkeys(UNITS, 1) | {"phase1-equity": 2}
    assert [entry.policy.run_id for entry in read_assignments(flows.root)] == [again.record.run_id]
    assert tracked(flows, again) == ("FINISHED", "done")


@pytest.mark.slow
def test_a_stop_reaches_the_units_and_the_next_flow_continues(flows):
    flows.tracked = True
    run = flows.prepared()
    (flows.root / "slow-phase1-forex").touch()
    flow = subprocess.Popen(flows.command(run), env=flows.environment, stderr=subprocess.DEVNULL)
    wait_for(unit_of_run(flows.root, run.record, "phase1-forex").checkpoints.newest_step)
    flow.send_signal(signal.SIGTERM)
    assert flow.wait(timeout=120) == 75
    assert f"mtquant resume {run.record.run_id}" in flows.ending(run)
    assert run_status(flows.root, run.record).state == "stopped"
    wait_for(lambda: not flows.processes(), 30)
    state, tasks = flows.states(run.record.run_id)
    assert (state, tasks["phase1-forex"], "gate" in tasks) == ("Stopped", "Stopped", False)
    assert tracked(flows, run) == ("KILLED", "stopped")
    (flows.root / "slow-phase1-forex").unlink()
    assert flows.execute(run) == 0
    assert flows.attempts(run)["phase1-forex"] == 2
    assert set(flows.attempts(run).values()) == {1, 2}


@pytest.mark.slow
def test_units_stop_when_the_command_line_that_started_the_flow_dies(flows):
    run = flows.prepared()
    (flows.root / "slow-phase1-forex").touch()
    command = [*flows.command(run), "--supervised"]
    flow = subprocess.Popen(command, env=flows.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_for(lambda: begun(flows, run, "phase1-forex"))
    flow.stdin.close()
    assert flow.wait(timeout=120) == 75
    assert flows.states(run.record.run_id)[0] == "Stopped"


@pytest.mark.slow
def test_a_server_that_goes_away_stops_no_training(flows, monkeypatch):
    run = flows.prepared()
    (flows.root / "slow-phase1-forex").touch()
    monkeypatch.setenv("MTQUANT_STORE", str(flows.root))
    monkeypatch.setenv("PREFECT_HOME", str(flows.root / "prefect"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    server = Server()
    server.await_ready()
    environment = flows.environment | {"PREFECT_API_URL": server.address}
    flow = subprocess.Popen(flows.command(run), env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(unit_of_run(flows.root, run.record, "phase1-forex").checkpoints.newest_step)
    server.end()
    (flows.root / "slow-phase1-forex").unlink()
    _, said = flow.communicate(timeout=300)
    assert flow.returncode == 0, said
    assert "Prefect's server does not know how run" in said
    assert flows.attempts(run) == dict.fromkeys(UNITS, 1)
    assert [entry.policy.run_id for entry in read_assignments(flows.root)] == [run.record.run_id]
    assert flows.states(run.record.run_id)[0] == "Running"


def test_a_prefect_that_cannot_start_says_what_else_is_possible(flows):
    run = flows.prepared()
    environment = flows.environment | {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    ended = subprocess.run(flows.command(run), env=environment, check=False, capture_output=True, timeout=150)
    assert ended.returncode == 1
    assert "Prefect could not start" in flows.ending(run)
    assert "`--engine direct`" in flows.ending(run)
    assert set(flows.attempts(run).values()) == {0}
