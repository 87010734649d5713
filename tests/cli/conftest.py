"""A store in a temporary folder, and the command line over toy units."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtquant.cli.app import run
from tests.cli.drive import unchanging

REPOSITORY = Path(__file__).parents[2]
TOY = (sys.executable, "-m", "tests.cli.toy")
SMALL = (
    "--profile",
    "smoke",
    "--data",
    "gp-easy",
    "--engine",
    "direct",
    "--set",
    "data.planted={train_histories: 2, history_bars: 400}",
    "--set",
    "phase1.timesteps=100",
)
"""Options of a run whose market takes no time to make."""
PLAN = tuple(part for part in SMALL if part not in ("--engine", "direct"))
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


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Cli:
    """Runs commands in this process."""

    root: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ended:
        self.capture.readouterr()
        code = run(arguments)
        captured = self.capture.readouterr()
        return Ended(code, captured.out, captured.err)


@pytest.fixture(scope="session")
def finished_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store in which a run of all units is complete."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        _prepare(patch, folder)
        assert run(["train", *SMALL, "--json"]) == 0
    return folder / "store"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty store; commands run in its parent folder and find it, and nothing publishes."""
    _prepare(monkeypatch, tmp_path)
    return tmp_path / "store"


def _prepare(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.chdir(folder)
    patch.setenv("MTQUANT_STORE", str(folder / "store"))
    patch.setenv("PYTHONPATH", str(REPOSITORY))
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setattr("mtquant.cli.engines.COMMAND", TOY)
    patch.setattr("mtquant.pipeline.code_versions", unchanging)
    patch.setattr("mtquant.cli.engines.publishing", unpublished)
    (folder / "store").mkdir()


@contextmanager
def unpublished(root: Path, run_id: str) -> Iterator[None]:
    """Stand in for the publisher, which has tests of its own."""
    yield


@pytest.fixture
def cli(store: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return the command line over `store`."""
    return Cli(store, capsys)


@pytest.fixture
def finished(cli: Cli, finished_store: Path) -> Cli:
    """Return the command line over a store in which a run of all units is complete."""
    shutil.copytree(finished_store, cli.root, dirs_exist_ok=True)
    return cli


@contextmanager
def driving(store: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command over toy units in a process of its own, which does not outlive the test."""
    command, pipe = [sys.executable, "-m", "tests.cli.drive", *arguments], subprocess.PIPE
    with subprocess.Popen(command, env=environment(store), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def environment(store: Path) -> dict[str, str]:
    """Return the environment of a command in a process of its own; its tracker refuses at once."""
    tracker = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | tracker | {"MTQUANT_STORE": str(store), "PYTHONPATH": str(REPOSITORY)}
