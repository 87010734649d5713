"""Errors as people see them: one message on standard error, an exit code, never a wall of traceback."""

import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from mtquant.context import store_root
from mtquant.errors import MTQuantError

INTERRUPTED = 130


def exit_code_of(error: BaseException) -> int:
    """Say what went wrong and return the exit code for it."""
    if isinstance(error, MTQuantError):
        say_error(str(error))
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        say_error("interrupted; what is in the store stays. `mtquant status` shows where things stand.")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # The reader went away (`mtquant runs list | head`); Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    path = keep_traceback(error)
    say_error(f"unexpected {type(error).__name__}: {_first_line(error)}\nThis is a defect. Details are in {path}.")
    return 1


def say_error(message: str) -> None:
    """Write one error message to standard error."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(f"error: {message}", style="red", markup=False, highlight=False)


def say_note(message: str) -> None:
    """Write something worth knowing to standard error."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True).print(f"note: {message}", style="yellow", markup=False, highlight=False)


def keep_traceback(error: BaseException) -> Path:
    """Write the traceback into the store's `logs/`, or where that fails into the temporary folder."""
    text = "".join(traceback.format_exception(error))
    name = f"mtquant-error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
    for folder in (store_root() / "logs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{' '.join(sys.argv)}\n\n{text}")
        except OSError:
            continue
        return folder / name
    sys.stderr.write(text)
    return Path("(standard error)")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "(no message)"
