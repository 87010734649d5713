"""Stores for flows over toy units; Prefect's database is set up once per session."""

import atexit
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mtquant.config.load import load_pipeline
from mtquant.execution.preparation import PreparedRun, prepare_run, record_run
from mtquant.store.runs import read_events, unit_of_run

if "PREFECT_HOME" not in os.environ:
    # Prefect looks for it when it is imported, and would make it in the working folder.
    os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-home-")
    atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)

REPOSITORY = Path(__file__).parents[2]
DRIVE = (sys.executable, "-m", "tests.flows.drive")
SETTINGS = ("data.source=gp-easy", "data.planted={train_histories: 2, history_bars: 400}", "phase1.timesteps=100")
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
NODES = (*UNITS, "gate", "register")


@dataclass
class Flows:
    """A store, and flows over it in processes of their own."""

    root: Path
    tracked: bool = field(default=False, kw_only=True)
    """Whether runs are published. A tracker that refuses at once keeps MLflow's start-up out of the other tests."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the flow's process: this store, and a tracker or none."""
        uri = f"sqlite:///{self.root}/mlflow.db" if self.tracked else "http://127.0.0.1:9"
        tracker = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return kept | tracker | {"MTQUANT_STORE": str(self.root), "PYTHONPATH": str(REPOSITORY)}

    def prepared(self) -> PreparedRun:
        """Record and prepare a run."""
        spec = load_pipeline("smoke", None, SETTINGS, REPOSITORY / "config")
        return prepare_run(self.root, record_run(self.root, spec, ["test"], "prefect"))

    def command(self, run: PreparedRun) -> list[str]:
        """Return the command line of the flow's process."""
        return [*DRIVE, "--run", run.record.run_id]

    def execute(self, run: PreparedRun) -> int:
        """Run the flow to its end and return the exit code."""
        ended = subprocess.run(self.command(run), env=self.environment, check=False, capture_output=True, timeout=300)
        return ended.returncode

    def ending(self, run: PreparedRun) -> str:
        """Return the message the flow ended with."""
        return str(read_events(self.root, run.record.run_id)[-1]["message"])

    def attempts(self, run: PreparedRun) -> dict[str, int]:
        """Return how many attempts each unit has had."""
        return {name: unit_of_run(self.root, run.record, name).attempts() for name in run.record.units}

    def states(self, run_id: str) -> tuple[str, dict[str, str]]:
        """Return the state of the run's newest flow run, and of its tasks by name, as Prefect shows them."""
        with sqlite3.connect(self.root / "prefect" / "prefect.db") as database:
            flow, state = database.execute(
                "select id, state_name from flow_run where name like ? order by start_time desc", (f"{run_id}%",)
            ).fetchone()
            tasks = database.execute("select name, state_name from task_run where flow_run_id = ?", (flow,)).fetchall()
        return str(state), dict(tasks)

    def flow_runs(self, run_id: str) -> list[tuple[str, str, str]]:
        """Return name, state and message of every flow run of a run, oldest first."""
        query = """
            select flow_run.name, flow_run.state_name, flow_run_state.message from flow_run
            join flow_run_state on flow_run.state_id = flow_run_state.id
            where flow_run.name like ? order by flow_run.start_time
        """
        with sqlite3.connect(self.root / "prefect" / "prefect.db") as database:
            return database.execute(query, (f"{run_id}%",)).fetchall()

    def processes(self) -> dict[int, str]:
        """Return pid and command line of every living process that works on this store."""
        found = {}
        mine = f"MTQUANT_STORE={self.root}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue
        # A zombie waits for its parent; its command line is empty.
        return {pid: command for pid, command in found.items() if command}


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Return once `what` is true; fail after `seconds`."""
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def prefect_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Prefect folder whose database is migrated; that takes Prefect half a minute of tests otherwise."""
    folder = tmp_path_factory.mktemp("prefect") / "prefect"
    folder.mkdir()
    environment = os.environ | {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture
def flows(tmp_path: Path, prefect_template: Path) -> Flows:
    """Return an empty store."""
    shutil.copytree(prefect_template, tmp_path / "store" / "prefect")
    return Flows(tmp_path / "store")
