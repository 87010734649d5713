"""Whether the store can be written, has room for a run, and holds what its records say."""

import os
import shutil
from pathlib import Path

from mtquant.cli.findings import BAD, OK, WARNING, Finding
from mtquant.cli.output import size
from mtquant.errors import MTQuantError
from mtquant.store.files import make_folder, write_atomic
from mtquant.store.garbage import measured, survey
from mtquant.store.runs import list_runs, load_run
from mtquant.store.status import run_status
from mtquant.store.units import UNITS

LEAST_FREE = 1_000_000_000
"""At least this much should be free, also where there is no run to measure yet."""
ROOM = 2.0
"""A run needs its own size, and as much again while checkpoints and results are replaced."""


def store(root: Path) -> list[Finding]:
    """Return what was found of the store; looks at names, sizes and markers, not at every byte."""
    probe = root / f".doctor-{os.getpid()}"
    try:
        make_folder(root)
        write_atomic(probe, b"ok")
        probe.unlink()
        free = shutil.disk_usage(root).free
        return [Finding("store", OK, f"{root.absolute()} is writable"), _room(root, free), _content(root), _waste(root)]
    except (MTQuantError, OSError) as error:
        return [Finding("store", BAD, str(error))]


def _room(root: Path, free: int) -> Finding:
    """Compare the free space with what the largest run of the store takes."""
    largest = max((_run_bytes(root, run_id) for run_id in list_runs(root)), default=0)
    need = max(largest * ROOM, LEAST_FREE)
    text = f"{size(free)} free"
    text += f"; the largest run here takes {size(largest)}" if largest else ""
    if free >= need:
        return Finding("disk", OK, text)
    return Finding("disk", WARNING, f"{text}, a new one may need {size(need)}; `mtquant gc` lists what may go")


def _run_bytes(root: Path, run_id: str) -> int:
    try:
        units = load_run(root, run_id).units.values()
    except MTQuantError:
        # `_content` tells.
        return 0
    folders = [root / UNITS / entry["folder"] for entry in units]
    return sum(measured(folder)[0] for folder in folders if folder.is_dir())


def _content(root: Path) -> Finding:
    """Say which records and results do not fit what they say of themselves."""
    names, damaged, dead = list_runs(root), list[str](), list[str]()
    for run_id in names:
        try:
            found = run_status(root, load_run(root, run_id))
        except MTQuantError as error:
            damaged.append(str(error))
            continue
        damaged += [f"{unit.name} of {run_id}: {unit.message}" for unit in found.units if unit.state == "damaged"]
        dead += [run_id] if found.state == "dead" else []
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        return Finding("runs", WARNING, f"{damaged[0]}{more}")
    if dead:
        text = f"{len(names)}, of which {len(dead)} ended without a word; continue with: mtquant resume {dead[-1]}"
        return Finding("runs", WARNING, text)
    return Finding("runs", OK, f"{len(names)}; markers and sizes fit (`mtquant verify` reads every byte)")


def _waste(root: Path) -> Finding:
    found = survey(root)
    if not found.garbage:
        return Finding("garbage", OK, "none")
    return Finding("garbage", OK, f"nothing refers to {size(found.size_bytes)} any more; `mtquant gc` lists it")
