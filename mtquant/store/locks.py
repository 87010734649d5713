"""Exclusion between processes by the kernel: a lock ends with its holder, even by kill -9."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from mtquant.errors import LockedError
from mtquant.store.files import guarded

_TRIES, _PAUSE_SECONDS = 5, 0.02


@dataclass(frozen=True)
class Holder:
    """Who wrote its name into a lock file; advice for people, not proof that the lock is held."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.since}"


@contextmanager
def locked(path: Path, what: str, *, named: bool = True) -> Iterator[None]:
    """Hold the lock file `path` while inside. Raises `LockedError` that names the holder of `what`.

    Without `named` nothing is written into it, which also works on a full disk.
    """
    with guarded(path, "open the lock"):
        file = path.open("a+b")
    with file:
        if not _acquired(file):
            who = read_holder(path) or "another process"
            raise LockedError(
                f"{what} is held by {who}. Wait for it (`mtquant status` shows it), or stop it with `mtquant stop`."
            )
        if named:
            mine = Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))
            with guarded(path, "write the lock"):
                file.truncate(0)
                file.write(json.dumps(asdict(mine)).encode())
                file.flush()
        yield


@contextmanager
def waited_for(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while inside, alone or `shared`, after waiting until it is free.

    For what others hold for moments only; a holder that is killed lets go.
    """
    with guarded(path, "open the lock"):
        file = path.open("a+b")
    with file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def _acquired(file: BinaryIO) -> bool:
    """Try for a moment: `holder_of` of another process may be looking right now."""
    for attempt in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS if attempt < _TRIES - 1 else 0.0)
        else:
            return True
    return False


def holder_of(path: Path) -> Holder | None:
    """Return who holds the lock now, or None where it is free."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return read_holder(path) or Holder(0, "unknown host", "unknown time")
    except FileNotFoundError:
        return None
    return None


def read_holder(path: Path) -> Holder | None:
    """Return the last holder that wrote its name, whether it still lives or not."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
