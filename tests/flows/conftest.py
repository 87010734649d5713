"""Stores for flows over toy units; Prefect's database is set up once per session."""

import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtquant.config.load import load_pipeline
from mtquant.execution.preparation import PreparedRun, prepare_run, record_run
from mtquant.store.runs import read_events

REPOSITORY = Path(__file__).parents[2]
DRIVE = (sys.executable, "-m", "tests.flows.drive")
SETTINGS = ("data.source=gp-easy", "data.planted={train_histories: 2, history_bars: 400}", "phase1.timesteps=100")


@dataclass
class Flows:
    """A store, and flows over it in processes of their own."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the flow's process: no tracker, this store."""
        # A tracker that refuses at once keeps MLflow's start-up out of these tests.
        tracker = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
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
        ended = subprocess.run(self.command(run), env=self.environment, check=False, capture_output=True, timeout=150)
        return ended.returncode

    def ending(self, run: PreparedRun) -> str:
        """Return the message the flow ended with."""
        return str(read_events(self.root, run.record.run_id)[-1]["message"])

    def states(self, run: PreparedRun) -> tuple[str, dict[str, str]]:
        """Return the state of the flow run, and of its tasks by name, as Prefect shows them."""
        with sqlite3.connect(self.root / "prefect" / "prefect.db") as database:
            ((flow, state),) = database.execute(
                "select id, state_name from flow_run where name = ?", (run.record.run_id,)
            ).fetchall()
            tasks = database.execute("select name, state_name from task_run where flow_run_id = ?", (flow,)).fetchall()
        return str(state), dict(tasks)


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
