"""Every command in README.md and docs/ runs; what trains does so with the smoke profile in a store of its own."""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mtquant.context import STORE_VARIABLE, Streams
from mtquant.synthetic import build_planted

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
PROGRAMS = ("make", "mtquant", "python")
PATIENCE = 600
FEW, EPISODES = "4096", "8"


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            joined = block.replace("\\\n", " ")
            found += [" ".join(line.split()) for line in joined.splitlines() if line.strip() and line[0] != "#"]
    return list(dict.fromkeys(found))


def trains_more(command: str) -> bool:
    """Return whether a command trains or serves something beyond the run that all of them share."""
    words = shlex.split(command)
    if words[0] == "python":
        return True
    more = {"--data", "--set", "--config", "--split", "--seed"}
    return words[:2] in (
        ["mtquant", "ui"],
        ["mtquant", "marl"],
        *([["mtquant", name] for name in ("train", "evaluate") if more & set(words)]),
    )


def adapted(command: str) -> list[str]:
    """Return the program with its arguments, small and without Prefect where it trains."""
    words = shlex.split(command)
    if words[0] == "make":
        return ["make", "-n", *words[1:]]
    if words[0] == "python":
        return adapted_script(words[1:])
    program, arguments = [sys.executable, "-m", "mtquant.cli"], words[1:]
    if words[:2] in (["mtquant", "train"], ["mtquant", "plan"]) and "--profile" not in words:
        arguments += ["--profile", "smoke"]
    if words[:2] == ["mtquant", "marl"]:
        arguments = adapted_teams(arguments)
    if words[:2] in (["mtquant", "train"], ["mtquant", "marl"]) and "--engine" not in words:
        arguments += ["--engine", "direct"]
    if words[:2] == ["mtquant", "ui"]:
        arguments += ["--mlflow-port", "0", "--prefect-port", "0"]
    return program + arguments


def adapted_teams(arguments: list[str]) -> list[str]:
    """Return the arguments of `marl` with few steps on few rows; a number of episodes would count instead."""
    kept = [
        word for before, word in zip(["", *arguments], arguments, strict=False) if "--episodes" not in (before, word)
    ]
    for setting in ("training.total_steps=256", "training.n_envs=8", "training.n_steps=16", "evaluation_episodes=2"):
        kept += ["--set", setting]
    return kept


def adapted_script(arguments: list[str]) -> list[str]:
    """Return a script's command line with few steps: its own would train for hours."""
    if "pettingzoo" in arguments[0]:
        return [sys.executable, *arguments]
    if arguments[0].startswith("examples/"):
        return [sys.executable, *arguments, "--steps", "250"]
    if arguments[:2] == ["-m", "mtquant.gates"]:
        return [sys.executable, *arguments, "--plan"]
    small = [
        FEW if before.endswith("timesteps") else word for before, word in zip(["", *arguments], arguments, strict=False)
    ]
    if "eval" in arguments:
        small = [
            EPISODES if before == "--eval-episodes" else word for before, word in zip(["", *small], small, strict=False)
        ]
    elif "resume" not in arguments:
        small += ["--profile", "smoke"]
    return [sys.executable, *small, *([] if "eval" in arguments else ["--engine", "direct"])]


@dataclass(frozen=True)
class Place:
    """A folder like a fresh clone with a person's bars in it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT), STORE_VARIABLE: str(self.folder / "models"), "NO_COLOR": "1"}

    def run(self, command: str) -> str:
        ended = subprocess.run(
            adapted(command),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def serve(self, command: str, until: str) -> int:
        """Start a server, wait for the line that begins with `until`, press Ctrl-C, return the exit code."""
        with subprocess.Popen(
            adapted(command),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        ) as server:
            assert server.stdout is not None
            assert any(line.startswith(until) for line in server.stdout), "the server ended by itself"
            server.send_signal(signal.SIGINT)
            return server.wait(timeout=60)


def write_bars(folder: Path) -> None:
    """Write daily bars of the eight instruments as plain CSV."""
    market = build_planted(
        "embedded", {"train_histories": 1, "validation_histories": 0, "test_histories": 0}, Streams(5)
    ).market
    folder.mkdir()
    days = np.datetime_as_string(market.time.astype("datetime64[ns]"), unit="s", timezone="UTC")
    for k, symbol in enumerate(market.symbols):
        rows = [
            f"{day},{','.join(str(float(x)) for x in bar)}" for day, bar in zip(days, market.ohlcv[:, k], strict=True)
        ]
        (folder / f"{symbol}_D1.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]) + "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("clone")
    for name in ("config", "scripts", "examples", "Makefile", "requirements.lock", "pyproject.toml"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    write_bars(folder / "my-bars")
    return Place(folder)


@pytest.fixture(scope="module")
def trained(place: Place) -> str:
    """Train once, import once; every command finds a finished run and a folder of bars."""
    place.run("mtquant import my-bars --out data/raw")
    return place.run("mtquant train")


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=pytest.mark.slow) if trains_more(c) else c for c in commands()]
)
def test_command_runs(command: str, place: Place, request: pytest.FixtureRequest):
    assert command.split()[0] in PROGRAMS, "only what these tests can run stands in a bash block"
    if command.startswith("make "):
        place.run(command)
        return
    request.getfixturevalue("trained")
    if command == "mtquant ui":
        assert place.serve(command, until="Ctrl-C") == 0
        return
    place.run(command)


def test_training_says_where_the_results_are(place: Place, trained: str):
    found = re.search(r"report: (.+\.html)", trained)
    assert found, trained
    assert "<html" in Path(found.group(1)).read_text()[:2000]
    onnx = re.search(r"onnx: (.+)", trained)
    assert onnx, trained
    assert list(Path(onnx.group(1)).glob("*.onnx"))
    # The settings are those of the shared run, so nothing is left to do.
    assert "Nothing to do" in place.run("mtquant train")


def test_pages_name_commands():
    """An empty list would let the tests above pass without running anything."""
    found = commands()
    assert {"make train", "make smoke", "mtquant resume", "mtquant plan"} <= set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert not [link for link in targets if not (page.parent / link).exists()]
