"""Processes that hold a lock: asked to stop only after it is proved that they are the ones."""

import os
import signal
import socket
from pathlib import Path

from mtquant.errors import LockedError, MTQuantError
from mtquant.store.locks import Holder

PROCESSES = Path("/proc")


def ask_to_stop(holder: Holder, lock: Path) -> bool:
    """Send SIGTERM to the process that holds `lock`; return whether it was still there.

    A pid in a lock file is a claim: the process may be gone and its number given to another. What counts is that
    the process has this very lock file open, and the signal goes to the process that was looked at. Raises
    `LockedError` where it runs on another machine and `MTQuantError` where it cannot be looked at or signalled.
    """
    if holder.host != socket.gethostname():
        raise LockedError(f"It is held by {holder}, and this is {socket.gethostname()}. Run `mtquant stop` there.")
    if not PROCESSES.is_dir():
        raise MTQuantError(
            f"This system has no {PROCESSES}, so it cannot be checked that {holder} is still the same process. "
            f"If it is: kill -TERM {holder.pid}"
        )
    try:
        handle = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return False
    try:
        if not has_open(holder.pid, lock):
            return False
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise MTQuantError(
            f"The process {holder.pid} belongs to another user. Run `mtquant stop` as that user."
        ) from error
    finally:
        os.close(handle)
    return True


def has_open(pid: int, path: Path) -> bool:
    """Return whether a process has `path` open. Raises `PermissionError` for another user's process."""
    wanted = path.stat()
    try:
        entries = list((PROCESSES / str(pid) / "fd").iterdir())
    except FileNotFoundError:
        return False
    for entry in entries:
        try:
            found = entry.stat()
        except FileNotFoundError:
            # Closed since, or no file at all (a socket).
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def arguments_of(pid: int) -> list[str]:
    """Return the command line of a process, empty where it is gone."""
    try:
        return (PROCESSES / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
