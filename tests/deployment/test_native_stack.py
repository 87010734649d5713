"""The whole stack as processes of this machine, and a pipeline through it. Takes some minutes."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest
import requests

from tests.deployment.clients import PATIENCE, Host, Json
from tests.deployment.compose import environment_file
from tests.deployment.native import IMAGE, Stack, postgres_folder
from tests.deployment.test_environment import fill

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a loopback address per service exists on Linux only"),
    pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is missing (Debian: apt-get install postgresql)"),
    # boto3 says so of Python versions whose end is near; nothing here depends on it.
    pytest.mark.filterwarnings("ignore:Boto3 will no longer support:Warning"),
]
UNITS = {
    "dataset-market",
    *("phase1-forex", "phase1-commodities", "phase1-equity"),
    *("phase2-meta", "phase3-joint", "phase3-no-peers", "evaluate-report", "export-onnx"),
}
SUMMARIES = ("final/", "best/", "system/")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    assert fill(folder / ".env").returncode == 0
    stack = Stack(folder, environment_file(folder / ".env"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        stack.kill()


@pytest.fixture(scope="module")
def host(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(stack, tmp_path_factory.mktemp("host"))


@dataclass(frozen=True)
class Interrupted:
    """A run whose worker was stopped while specialists trained, and which another flow run continued."""

    name: str
    stopped: Json
    """The first flow run, after the worker had stopped."""
    finished: Json


@pytest.fixture(scope="module")
def run(host: Host) -> Interrupted:
    first = host.train("profile=smoke", watch=False)
    give_up = time.monotonic() + PATIENCE
    while not list(host.store.glob("units/phase1-*/attempts/0001.json")):
        assert time.monotonic() < give_up, host.stack.log("worker")
        time.sleep(0.2)
    (name,) = (path.name for path in (host.store / "runs").iterdir())
    host.stack.end("worker")
    stopped = host.flow_run(first["id"])
    host.stack.restart("worker")
    return Interrupted(name, stopped, host.train(f"resume={name}"))


def attempts(host: Host) -> dict[str, int]:
    """Return how often each finished unit was begun, by folder."""
    return {path.parent.name: json.loads(path.read_text())["attempts"] for path in host.store.glob("units/*/DONE.json")}


def test_services_listen_on_loopback_only(stack: Stack):
    listening = {
        connection.laddr[:2]
        for process in stack.running()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    ports = {"db": 5432, "s3": 8333, "prefect": 4200, "mlflow": 5000, "worker": 8080}
    assert listening >= {(stack.addresses[name], port) for name, port in ports.items()}
    # The worker's channel to its flow runs has a port of its own.
    assert all(address.startswith("127.") for address, _ in listening)


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("prefect", "/api/admin/version"),
        ("prefect", "/api/work_pools/mtquant"),
        ("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("mlflow", "/api/2.0/mlflow-artifacts/artifacts"),
        ("mlflow", "/"),
    ],
)
@pytest.mark.parametrize("account", [None, ("mtquant", "wrong")], ids=["none", "wrong"])
def test_who_has_no_account_is_refused(host: Host, service: str, path: str, account: tuple[str, str] | None):
    answer = requests.get(f"http://{host.address(service)}{path}", auth=account, timeout=30)
    assert answer.status_code == 401


@pytest.mark.parametrize(("service", "path"), [("prefect", "/api/health"), ("mlflow", "/health")])
def test_health_is_told_to_anybody(host: Host, service: str, path: str):
    assert requests.get(f"http://{host.address(service)}{path}", timeout=30).status_code == 200


def test_another_name_for_the_server_is_refused(host: Host):
    account = (host.variables["MLFLOW_TRACKING_USERNAME"], host.variables["MLFLOW_TRACKING_PASSWORD"])
    address = f"{host.variables['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    answers = [
        requests.get(address, params={"max_results": 1}, auth=account, headers=headers, timeout=30).status_code
        for headers in ({}, {"Host": "elsewhere.example"})
    ]
    assert answers == [200, 403]


def test_one_role_cannot_open_the_other_database(stack: Stack):
    import psycopg2

    roles = {name: stack.variables[f"{name.upper()}_DB_PASSWORD"] for name in ("prefect", "mlflow")}
    for role, password in roles.items():
        for database in ("prefect", "mlflow", "mlflow_auth"):
            if database.startswith(role):
                psycopg2.connect(host=stack.addresses["db"], user=role, password=password, dbname=database).close()
            else:
                with pytest.raises(psycopg2.OperationalError, match="permission denied"):
                    psycopg2.connect(host=stack.addresses["db"], user=role, password=password, dbname=database)


def test_stopped_worker_leaves_a_stopped_run(run: Interrupted):
    assert (run.stopped["name"], run.stopped["state_type"], run.stopped["state_name"]) == (
        run.name,
        "CANCELLED",
        "Stopped",
    )


def test_pipeline_runs_through_the_worker(run: Interrupted, host: Host):
    assert run.finished["state_name"] == "Completed", run.finished["state"]
    assert f"run:{run.name}" in run.finished["tags"]
    states = host.task_states(run.finished["id"])
    assert states.keys() >= UNITS
    assert set(states.values()) <= {"Completed", "Reused"}
    counts = attempts(host)
    assert len(counts) == len(UNITS)
    assert {count for folder, count in counts.items() if not folder.startswith("phase1")} == {1}
    assert 2 in counts.values(), "a specialist was interrupted"


def test_mlflow_has_parent_children_and_curves(run: Interrupted, host: Host):
    runs = host.mlflow_runs("mtquant.run", run.name)
    parent = runs.pop(run.name)
    assert runs.keys() == UNITS
    for name, entry in runs.items():
        tags = {tag["key"]: tag["value"] for tag in entry["data"]["tags"]}
        assert tags["mlflow.parentRunId"] == parent["info"]["run_id"], name
    assert {entry["info"]["status"] for entry in (parent, *runs.values())} == {"FINISHED"}
    for name in UNITS:
        if name.startswith("phase"):
            steps = curve(host, runs[name])
            assert len(steps) > 1, name
            assert len(steps) == len(set(steps)), "no point twice"
            assert steps == sorted(steps)


def curve(host: Host, entry: Json) -> list[int]:
    """Return the steps of one of the run's learning curves."""
    keys = [metric["key"] for metric in entry["data"]["metrics"] if not metric["key"].startswith(SUMMARIES)]
    found = host.mlflow("GET", "metrics/get-history", run_id=entry["info"]["run_id"], metric_key=min(keys))
    return [int(metric["step"]) for metric in found["metrics"]]


def test_artifacts_lie_in_the_bucket(run: Interrupted, host: Host):
    runs = host.mlflow_runs("mtquant.run", run.name)
    objects = host.objects()
    for name, expected in (("evaluate-report", "report.html"), ("export-onnx", ".onnx"), (run.name, "units.json")):
        entry = runs[name]["info"]["run_id"]
        found = [key for key in objects if f"/{entry}/artifacts/" in key and key.endswith(expected)]
        assert found, name
        assert all(objects[key] for key in found)


def test_second_run_reuses_everything(run: Interrupted, host: Host):
    before = attempts(host)
    second = host.train("profile=smoke")
    assert second["state_name"] == "Completed"
    assert second["name"] != run.name
    states = host.task_states(second["id"])
    assert {states[unit] for unit in UNITS} == {"Reused"}
    assert attempts(host) == before


def test_command_line_uses_the_same_servers(host: Host):
    trained = host.run("mtquant", "train", "--profile", "smoke", "--phase", "1", "--seed", "7")
    assert trained.returncode == 0, trained.stdout
    (run,) = (path.name for path in (host.folder / "models" / "runs").iterdir())
    assert run in {flow_run["name"] for flow_run in host.flow_runs("COMPLETED")}
    published = host.mlflow_runs("mtquant.run", run)
    assert published.keys() == {run, "dataset-market", "phase1-forex", "phase1-commodities", "phase1-equity"}
    assert {entry["info"]["status"] for entry in published.values()} == {"FINISHED"}


def test_nightly_run_is_scheduled(host: Host):
    scheduled = host.flow_runs("SCHEDULED")
    assert scheduled
    assert {flow_run["expected_start_time"][11:16] for flow_run in scheduled} == {"02:30"}
    assert {"mtquant", "nightly"} <= set(scheduled[0]["tags"])


def test_services_write_only_where_containers_may(stack: Stack):
    assert sorted(path.name for path in stack.app.iterdir()) == sorted(IMAGE)


def test_everything_ends(stack: Stack):
    """Last in this file: the others need the stack."""
    stack.stop()
    assert not stack.running()
    assert not stack.database.exists()
