"""Durable writes, and operating-system refusals turned into messages a person can act on."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtquant.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NUMPY_WROTE_PART = "requested and"
"""`ndarray.tofile` reports a full disk by words alone: `1000 requested and 12 written`."""


@contextmanager
def guarded(path: Path, action: str, passing: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Turn `OSError` raised inside into `StoreError` that names the path and what to do.

    Errors of the types `passing` are left alone: the caller gives them a meaning.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, passing):
            raise
        raise _explained(error, path, action) from error


@contextmanager
def refusals_explained(path: Path) -> Iterator[None]:
    """Do what `guarded` does for a full disk and for missing permissions only; other errors pass."""
    try:
        yield
    except OSError as error:
        if _is_full(error) or error.errno in _REFUSED:
            raise _explained(error, path, "write into") from error
        raise


def _is_full(error: OSError) -> bool:
    return error.errno in _FULL or (error.errno is None and _NUMPY_WROTE_PART in str(error))


def _explained(error: OSError, path: Path, action: str) -> StoreError:
    if _is_full(error):
        advice = (
            "The disk, quota or file-size limit is exhausted. Free some space (`mtquant gc` lists what may go) "
            "and run `mtquant resume`; everything written before is kept."
        )
    elif error.errno in _REFUSED:
        advice = (
            "Make the folder writable for this user, or set MTQUANT_STORE to a folder that is, "
            "and run `mtquant resume`; nothing was lost."
        )
    else:
        advice = "Check the disk and run `mtquant resume`; everything written before is kept."
    return StoreError(f"Could not {action} {error.filename or path}: {error.strerror or error}. {advice}")


def make_folder(path: Path) -> None:
    """Create `path` and its parents. Raises `StoreError` where that is not possible."""
    try:
        with guarded(path, "create the folder", passing=(FileExistsError, NotADirectoryError)):
            path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(
            f"Could not create the folder {path}: a file of that name is in the way. Move it, or set MTQUANT_STORE."
        ) from error


def require_folder(path: Path) -> None:
    """Raise `StoreError` where something else lies in the place of a folder, which may be absent."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is no folder. Move it, or set MTQUANT_STORE to the folder of the store.")


def write_durable(path: Path, content: bytes) -> None:
    """Write a file and return when it has reached the disk; not atomic on its own."""
    with guarded(path, "write"), path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make renames and creations inside `path` durable."""
    with guarded(path, "sync the folder"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: a reader, or a crash at any instant, sees the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        write_durable(temporary, content)
        with guarded(path, "write"):
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_new(path: Path, content: bytes) -> bool:
    """Create `path` with `content` unless it exists; return whether this call created it."""
    with guarded(path, "create"):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(path.parent)
    return True


def remove_tree(path: Path) -> None:
    """Remove a folder that may be absent. Raises `StoreError` where that is not possible."""
    with guarded(path, "remove"):
        if path.is_dir():
            shutil.rmtree(path)


def quarantine(path: Path, folder: Path) -> Path:
    """Move `path` into `folder` under a name that is still free, and return where it lies now."""
    make_folder(folder)
    number = 1
    while (target := folder / f"{path.name}-{number}").exists():
        number += 1
    with guarded(path, "move"):
        path.rename(target)
    return target
