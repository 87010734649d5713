"""The deployments of `prefect.yaml` on a real server, served by a real worker, over toy units."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from mtquant.cli.servers import prefect_page
from mtquant.store.runs import list_runs, load_run, unit_of_run
from mtquant.store.status import run_status
from tests.flows.conftest import NODES, REPOSITORY, UNITS, Flows, wait_for

pytestmark = pytest.mark.slow
SMALL = {
    "profile": "smoke",
    "data": "gp-easy",
    "settings": ["data.planted={train_histories: 2, history_bars: 400}", "phase1.timesteps=100"],
    "workers": 3,
}
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Deployed(Flows):
    """A store, a server and its deployments."""

    api: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of whoever talks to the server."""
        return super().environment | {"PREFECT_API_URL": self.api, "PREFECT_HOME": str(self.root / "client")}

    def prefect(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one of Prefect's own commands."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False, timeout=180
        )

    def start(self, deployment: str, **parameters: object) -> str:
        """Start a flow run as the page does, and return its id."""
        given = json.dumps(parameters)
        ended = self.prefect("deployment", "run", f"mtquant-pipeline/{deployment}", "--params", given)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return re.search(r"UUID: (\S+)", ended.stdout).group(1)

    def ask(self, path: str, **body: object) -> object:
        """Ask the server: POST where there is a body."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def flow_run(self, flow_run: str) -> dict[str, object]:
        """Return what the server knows of a flow run."""
        return self.ask(f"flow_runs/{flow_run}")

    def tasks(self, flow_run: str) -> dict[str, str]:
        """Return name and state of every task of a flow run."""
        found = self.ask("task_runs/filter", flow_runs={"id": {"any_": [flow_run]}})
        return {task["name"]: task["state_name"] for task in found}

    def finished(self, flow_run: str) -> dict[str, object]:
        """Wait for a flow run's end and return it."""
        wait_for(lambda: self.flow_run(flow_run)["state_type"] in FINAL, 300)
        return self.flow_run(flow_run)

    def run_of(self, flow_run: str) -> str | None:
        """Return the name of the run a flow run executes."""
        tags = self.flow_run(flow_run)["tags"]
        return next((tag.removeprefix("run:") for tag in tags if tag.startswith("run:")), None)

    @contextmanager
    def working(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a worker while inside."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "mtquant", "--type", "process"]
        with (
            (self.root / "worker.log").open("ab") as log,
            subprocess.Popen(command, cwd=REPOSITORY, env=self.environment, stdout=log, stderr=log) as worker,
        ):
            try:
                yield worker
            finally:
                worker.send_signal(signal.SIGINT)
                try:
                    worker.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    worker.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory, prefect_template) -> Iterator[Deployed]:
    """Return a server with a pool and both deployments, over toy units."""
    root = tmp_path_factory.mktemp("deployed") / "store"
    shutil.copytree(prefect_template, root / "prefect")
    (root / "logs").mkdir()
    text = (REPOSITORY / "prefect.yaml").read_text()
    assert text.count("flows.pipeline.pipeline") == 2
    (root / "prefect.yaml").write_text(text.replace("flows.pipeline.pipeline", "tests.flows.deployed.pipeline"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            patch.delenv(name)
        with prefect_page(root, 0) as page:
            deployed = Deployed(root, f"{page.ready()}/api")
            made = deployed.prefect("work-pool", "create", "mtquant", "--type", "process")
            assert made.returncode == 0, made.stdout + made.stderr
            made = deployed.prefect("deploy", "--all", "--prefect-file", str(root / "prefect.yaml"))
            assert made.returncode == 0, made.stdout + made.stderr
            yield deployed


def test_on_demand_trains_and_nightly_then_reuses_everything(server):
    with server.working():
        first = server.start("on-demand", **SMALL)
        ended = server.finished(first)
        assert ended["state_name"] == "Completed", ended["state"]["message"]
        assert server.tasks(first) == dict.fromkeys(NODES, "Completed")
        run = server.run_of(first)
        assert (ended["name"], list_runs(server.root)) == (run, [run])
        assert load_run(server.root, run).command[:4] == ["mtquant", "train", "--profile", "smoke"]
        artifacts = server.ask("artifacts/filter", flow_runs={"id": {"any_": [first]}})
        found = sorted(artifact["key"] for artifact in artifacts)
        assert found == sorted(
            [*(f"progress-{unit}" for unit in UNITS), "mtquant-plan", "mtquant-results", "mtquant-summary"]
        )
        bars = [artifact for artifact in artifacts if artifact["type"] == "progress"]
        assert {bar["data"] for bar in bars} == {100.0}
        assert all(bar["task_run_id"] for bar in bars)
        again = server.start("nightly", **SMALL)
        assert server.finished(again)["state_name"] == "Completed"
        expected = dict.fromkeys(UNITS, "Reused") | {"gate": "Completed", "register": "Completed"}
        assert server.tasks(again) == expected
        assert server.run_of(again) != run


def test_cancelling_stops_the_units_and_the_run_continues(server):
    slow = server.root / "slow-phase1-equity"
    slow.touch()
    with server.working():
        flow_run = server.start("on-demand", **SMALL, seed=7)
        wait_for(lambda: server.run_of(flow_run))
        run = server.run_of(flow_run)
        record = load_run(server.root, run)
        wait_for(unit_of_run(server.root, record, "phase1-equity").checkpoints.newest_step)
        assert server.prefect("flow-run", "cancel", flow_run).returncode == 0
        ended = server.finished(flow_run)
        assert (ended["state_type"], server.tasks(flow_run)["phase1-equity"]) == ("CANCELLED", "Stopped")
        wait_for(lambda: not [c for c in server.processes().values() if "--unit" in c], 30)
        assert run_status(server.root, record).state == "stopped"
        # The worker's own word comes last.
        wait_for(lambda: server.flow_run(flow_run)["state_name"] == "Cancelled", 60)
        slow.unlink()
        fail = server.root / "fail-phase2-meta"
        fail.touch()
        assert server.prefect("flow-run", "retry", flow_run).returncode == 0
        wait_for(lambda: server.flow_run(flow_run)["state_name"] == "Failed", 300)
        assert (server.run_of(flow_run), list_runs(server.root)[-1]) == (run, run), "it continues the same run"
        assert server.tasks(flow_run)["phase2-meta"] == "Failed"
    fail.unlink()
    command = [sys.executable, "-m", "tests.flows.drive", "--run", run]
    resumed = subprocess.run(command, env=server.environment, capture_output=True, check=False, timeout=300)
    assert resumed.returncode == 0
    attempts = {unit: unit_of_run(server.root, record, unit).attempts() for unit in UNITS}
    assert attempts == dict.fromkeys(UNITS, 1) | {"phase1-equity": 2, "phase2-meta": 2}


def test_the_server_refuses_what_the_form_would(server):
    for wrong, said in (({"profile": "smok"}, "smok"), ({"workers": -1}, "minimum"), ({"resume": "my run"}, "match")):
        ended = server.prefect("deployment", "run", "mtquant-pipeline/on-demand", "--params", json.dumps(SMALL | wrong))
        assert ended.returncode == 1, wrong
        assert said in ended.stdout


def test_the_nightly_deployment_never_runs_twice_at_once(server):
    found = server.ask("deployments/name/mtquant-pipeline/nightly")
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert [entry["schedule"]["cron"] for entry in found["schedules"]] == ["30 2 * * *"]
    assert found["enforce_parameter_schema"]
