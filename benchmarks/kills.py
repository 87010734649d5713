"""`python -m benchmarks.kills`: train once undisturbed and once with kills at random instants, and compare both.

A kill is SIGKILL, without warning, to whatever the drawn instant finds: a unit's process, the engine, or every
process of the run at once. The two stores must hold the same results, journals and learning curves.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mtquant.context import STORE_VARIABLE
from mtquant.errors import GateError, MTQuantError
from mtquant.store.runs import RunRecord, list_runs, load_run, unit_of_run
from mtquant.tracking.location import TRACKING_VARIABLE

COMMAND = (sys.executable, "-m", "mtquant.cli")
VICTIMS = ("unit", "engine", "all")
_MARKS = {
    "unit": (b"mtquant.execution.unit",),
    "engine": (b"flows.pipeline", b"mtquant.cli"),
    "all": (b"mtquant", b"flows.pipeline", b"prefect"),
}
"""Words in the command lines of the processes that are killed."""


@dataclass(frozen=True)
class Blow:
    """One kill."""

    seconds: float
    """After the start or the last resume."""
    victim: str
    killed: int
    """Processes that died of it."""


def compare(
    profile: Annotated[str, typer.Option(help="Profile to train.")] = "smoke",
    kills: Annotated[int, typer.Option(help="Kills spread over the run.")] = 3,
    engine: Annotated[str, typer.Option(help="prefect or direct.")] = "direct",
    seed: Annotated[int, typer.Option(help="Of the instants and the victims.")] = 0,
    keep: Annotated[Path | None, typer.Option(help="Folder for both stores; else they are removed.")] = None,
) -> None:
    """Train twice, once with kills, and print what is equal."""
    folder = keep or Path(tempfile.mkdtemp(prefix="mtquant-kills-"))
    train = ["train", "--profile", profile, "--engine", engine]
    try:
        started = time.monotonic()
        _finish(folder / "undisturbed", train)
        seconds = time.monotonic() - started
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        blows = disturb(folder / "disturbed", train, kills, seconds, random.Random(seed))
        different = show(folder)
        if len(blows) < kills:
            raise GateError(f"Only {len(blows)} of {kills} kills met a running process; choose another --seed.")
        if different:
            raise GateError(f"A killed and resumed run differs from an undisturbed one in {', '.join(different)}.")
    finally:
        if keep is None:
            shutil.rmtree(folder)


def disturb(root: Path, train: list[str], kills: int, seconds: float, choice: random.Random) -> list[Blow]:
    """Train in `root` with kills, resuming after each that ended the command; return those that met something."""
    blows: list[Blow] = []
    running = _start(root, train)
    for number in range(kills):
        wait = choice.uniform(0.3, 1.0) * seconds / (kills + 1)
        victim = VICTIMS[number % len(VICTIMS)]
        killed = strike(root, running, wait, victim)
        if not killed:
            continue
        blows.append(Blow(wait, victim, killed))
        print(f"kill {number + 1}: {victim}, {killed} processes, after {wait:.1f} s", flush=True)
        if victim != "unit":
            running.wait()
            running = _start(root, ["resume"] if list_runs(root) else train)
    if running.wait():
        raise MTQuantError(f"The last command ended with exit code {running.returncode}; its log: {_log(root)}")
    return blows


def strike(root: Path, running: "subprocess.Popen[bytes]", wait: float, victim: str) -> int:
    """After `wait` seconds kill the victims, waiting on until there are some; return how many died."""
    give_up = time.monotonic() + wait + 120.0
    time.sleep(wait)
    while running.poll() is None and time.monotonic() < give_up:
        found = processes_of(root, _MARKS[victim])
        # One unit of those that run, whichever comes first.
        for pid in found[:1] if victim == "unit" else found:
            os.kill(pid, signal.SIGKILL)
        if found:
            return 1 if victim == "unit" else len(found)
        time.sleep(0.05)
    return 0


def processes_of(root: Path, marks: tuple[bytes, ...]) -> list[int]:
    """Return the processes that work on the store and whose command line has one of `marks`."""
    entry = f"{STORE_VARIABLE}={root.absolute()}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            mine = entry in (folder / "environ").read_bytes().split(b"\0")
            line = (folder / "cmdline").read_bytes()
        except OSError:
            # Ended in this moment.
            continue
        if mine and any(mark in line for mark in marks):
            found.append(int(folder.name))
    return sorted(found)


def show(folder: Path) -> list[str]:
    """Print one line per unit and return the names of those that differ."""
    runs = {name: load_run(folder / name) for name in ("undisturbed", "disturbed")}
    curves = {name: _published(folder / name, record) for name, record in runs.items()}
    different = []
    print(f"\n{'unit':<20}  attempts  outputs  journal  MLflow points")
    for name in runs["undisturbed"].units:
        one, two = (unit_of_run(folder / side, record, name) for side, record in runs.items())
        first, second = one.verify(), two.verify()
        if first is None or second is None:
            different.append(name)
            print(f"{name:<20}  not finished")
            continue
        pairs = (
            (first.outputs, second.outputs),
            tuple([(line.step, str(line.metrics)) for line in unit.journal.read()] for unit in (one, two)),
            tuple(curves[side].get(name) for side in runs),
        )
        words = ["equal" if a == b else "DIFFERS" for a, b in pairs]
        points = sum(len(entry) for entry in (curves["disturbed"].get(name) or {}).values())
        print(f"{name:<20}  {second.attempts:>8}  {words[0]:>7}  {words[1]:>7}  {words[2]} ({points})")
        if "DIFFERS" in words:
            different.append(name)
    return different


def _published(root: Path, record: RunRecord) -> dict[str, dict[str, list[tuple[int, str]]]]:
    """Return every point that MLflow has of every unit, by unit and metric, in order of steps."""
    from mtquant.tracking.publisher import Publisher

    publisher = Publisher(root)
    parent = publisher.publish(record.run_id).parent_id
    client = publisher.client
    experiments = [found.experiment_id for found in client.search_experiments()]
    found = {}
    for run in client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent}'"):
        histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        found[str(run.info.run_name)] = {
            key: sorted((point.step, repr(point.value)) for point in points) for key, points in histories.items()
        }
    return found


def _start(root: Path, arguments: list[str]) -> "subprocess.Popen[bytes]":
    root.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {STORE_VARIABLE: str(root.absolute())}
    environment.pop(TRACKING_VARIABLE, None)
    with _log(root).open("ab") as log:
        return subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=log, stderr=log)


def _finish(root: Path, arguments: list[str]) -> None:
    running = _start(root, arguments)
    if running.wait():
        raise MTQuantError(f"`mtquant {' '.join(arguments)}` ended with {running.returncode}: {_log(root).read_text()}")


def _log(root: Path) -> Path:
    return root.with_suffix(".log")


def main() -> None:
    """Run the command; errors become one message and an exit code."""
    try:
        typer.run(compare)
    except MTQuantError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
