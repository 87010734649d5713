"""What nothing in the store refers to any more: found and explained here, removed by `collect`.

Kept whatever happens: what a run's record or a promotion names and everything that was made from, what a process
holds, what is younger than the safety age, and every file that is not known here.
"""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mtquant.errors import LockedError, StoreError
from mtquant.store.files import guarded, require_folder
from mtquant.store.locks import holder_of, locked, waited_for
from mtquant.store.references import References, references
from mtquant.store.runs import BEGIN, RECORD, RUNS
from mtquant.store.units import DONE, SPEC, UNITS, Unit, read_spec

LOCK = "gc.lock"
SAFE_SECONDS = 3600.0
UNIT_ENTRIES = {
    DONE,
    SPEC,
    "attempts",
    "checkpoints",
    "error.json",
    "lock",
    "metrics.jsonl",
    "mlflow.json",
    "outputs",
    "quarantine",
    "unit.log",
}
RUN_ENTRIES = {
    BEGIN,
    RECORD,
    "events.jsonl",
    "flow.log",
    "lock",
    "mlflow.json",
    "report.html",
    "report.json",
    "system.jsonl",
    "system.lock",
    "tracking.log",
}
_TEMPORARY = re.compile(r"\..+\.tmp-(\d+)|\.doctor-(\d+)")
"""What `write_atomic` and `doctor` leave when they are killed; the number is their process."""


@dataclass(frozen=True)
class Garbage:
    """One file or folder that may go."""

    path: Path
    kind: str
    """`unit`, `checkpoint`, `quarantine`, `temporary` or `run` (what is left of a run without a record)."""
    reason: str
    size_bytes: int
    age_seconds: float
    """Since anything in it changed."""
    lock: Path | None = None
    """Held while it is removed."""


@dataclass(frozen=True)
class Left:
    """Something that nothing refers to and that stays nevertheless, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Survey:
    """What may go and what stays although nothing refers to it."""

    garbage: tuple[Garbage, ...]
    left: tuple[Left, ...]

    @property
    def size_bytes(self) -> int:
        """Return the size of all that may go."""
        return sum(entry.size_bytes for entry in self.garbage)


@contextmanager
def referring(root: Path) -> Iterator[None]:
    """Keep `collect` waiting while a run finds its units and writes their names into its record."""
    with waited_for(root / LOCK, shared=True):
        yield


def survey(root: Path, age_seconds: float = SAFE_SECONDS) -> Survey:
    """Return what may go and what is left; changes nothing. Raises `StoreError` where the store cannot be read."""
    require_folder(root)
    if not root.exists():
        return Survey((), ())
    found = _Search(root, age_seconds)
    found.units(references(root))
    found.runs()
    found.temporary_files(root, None)
    return Survey(tuple(found.garbage), tuple(found.left))


def collect(root: Path, age_seconds: float = SAFE_SECONDS) -> Survey:
    """Remove what may go and return it, together with what is left.

    No run can begin to refer to a unit meanwhile. Removing can be interrupted anywhere and done again.
    """
    require_folder(root)
    if not root.exists():
        return Survey((), ())
    gone, left = list[Garbage](), list[Left]()
    with waited_for(root / LOCK):
        found = survey(root, age_seconds)
        for entry in found.garbage:
            try:
                with locked(entry.lock, str(entry.path), named=False) if entry.lock else nullcontext():
                    remove(entry.path)
            except LockedError:
                left.append(Left(entry.path, "a process holds it"))
            else:
                gone.append(entry)
    return Survey(tuple(gone), (*found.left, *left))


def remove(path: Path) -> None:
    """Remove a file or folder in an order that lies at no instant: what makes it valid first, its name last.

    A unit whose removal is interrupted is one that is not done; a run, one without a record.
    """
    with guarded(path, "remove"):
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            return
        # Checkpoints count on the journal, so they go before it; the lock stays while there is something to protect.
        first = [path / name for name in (DONE, RECORD, "checkpoints")]
        last = [path / name for name in (SPEC, "lock")]
        between = [entry for entry in path.iterdir() if entry not in first + last]
        for inner in (entry for entry in (*first, *between, *last) if entry.exists() or entry.is_symlink()):
            if inner.is_dir() and not inner.is_symlink():
                shutil.rmtree(inner)
            else:
                inner.unlink()
        path.rmdir()


def unknown_files(folder: Path, known: Collection[str]) -> list[str]:
    """Return the names in a unit's or run's folder that the store has not put there."""
    names = sorted({path.name for path in folder.iterdir()} - set(known))
    return [name for name in names if not _TEMPORARY.fullmatch(name)]


class _Search:
    def __init__(self, root: Path, age_seconds: float) -> None:
        self.root = root
        self.age_seconds = age_seconds
        self.now = time.time()
        self.garbage: list[Garbage] = []
        self.left: list[Left] = []

    def units(self, referred: References) -> None:
        """Look at every folder of `units/`."""
        for folder in _folders(self.root / UNITS):
            try:
                unit = Unit(self.root, read_spec(folder))
            except StoreError:
                if folder.name not in referred.folders:
                    self.left.append(Left(folder, f"its {SPEC} is missing or damaged; remove it yourself"))
                continue
            if unit.folder.name != folder.name:
                self.left.append(Left(folder, "its name is not that of the unit in it"))
            elif folder.name in referred.folders:
                self._inside(unit)
            elif referred.problems:
                self.left.append(Left(folder, f"cannot tell what refers to it: {referred.problems[0]}"))
            else:
                self._whole(folder, "unit", "no run and no promotion refers to it", UNIT_ENTRIES)

    def runs(self) -> None:
        """Look for what is left of runs without a record."""
        for folder in _folders(self.root / RUNS):
            if (folder / RECORD).is_file():
                self.temporary_files(folder, folder / "lock")
            else:
                self._whole(folder, "run", f"a run without {RECORD}: it was removed, or killed at birth", RUN_ENTRIES)

    def temporary_files(self, folder: Path, lock: Path | None) -> None:
        """Look for what `write_atomic` was writing in `folder` when it was killed."""
        for path in sorted(folder.iterdir()):
            found = _TEMPORARY.fullmatch(path.name)
            if found and path.is_file() and not _alive(int(found[1] or found[2])):
                self._add(path, "temporary", "its writer was killed", lock)

    def _inside(self, unit: Unit) -> None:
        """Look at what a unit that stays does not need."""
        lock = unit.folder / "lock"
        if holder_of(lock) is not None:
            return
        self.temporary_files(unit.folder, lock)
        for path in sorted(unit.checkpoints.root.glob(".tmp-*")) if unit.checkpoints.root.is_dir() else ():
            self._add(path, "temporary", "a checkpoint whose writer was killed", lock)
        try:
            finished = unit.done() is not None
        except StoreError:
            finished = False
        if not finished:
            # Its checkpoints are its progress, and its quarantine tells the next attempt what was lost.
            return
        for path in sorted(unit.quarantine_folder.iterdir()) if unit.quarantine_folder.is_dir() else ():
            self._add(path, "quarantine", "damaged, and the unit is done since", lock)
        for path in unit.checkpoints.superfluous():
            self._add(path, "checkpoint", "the unit is done and keeps newer or better ones", lock)

    def _whole(self, folder: Path, kind: str, reason: str, known: Collection[str]) -> None:
        """Add a folder with all that is in it, unless it holds something unknown."""
        if unknown := unknown_files(folder, known):
            self.left.append(Left(folder, f"it holds files that are not the store's: {', '.join(unknown[:5])}"))
        elif holder_of(folder / "lock") is not None:
            self.left.append(Left(folder, "a process holds it"))
        else:
            self._add(folder, kind, reason, folder / "lock")

    def _add(self, path: Path, kind: str, reason: str, lock: Path | None) -> None:
        try:
            size, changed = measured(path)
        except FileNotFoundError:
            # Removed while looking.
            return
        age = max(0.0, self.now - changed)
        if age < self.age_seconds:
            self.left.append(Left(path, f"changed {age / 60:.0f} minutes ago"))
        else:
            self.garbage.append(Garbage(path, kind, reason, size, age, lock))


def measured(path: Path) -> tuple[int, float]:
    """Return the bytes in a file or folder and when anything in it changed last."""
    stats = [path.lstat()]
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                stats.append(Path(folder, name).lstat())
            except FileNotFoundError:
                # Removed while looking; a live unit does that.
                continue
        stats.append(Path(folder).lstat())
    return sum(s.st_size for s in stats if not _is_folder(s)), max(s.st_mtime for s in stats)


def _is_folder(found: os.stat_result) -> bool:
    return (found.st_mode & 0o170000) == 0o040000


def _folders(folder: Path) -> list[Path]:
    with guarded(folder, "read"):
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
