"""Durable writes, and refusals of the operating system as messages for people."""

import errno
import os

import pytest

from mtquant.errors import StoreError
from mtquant.store.files import (
    guarded,
    make_folder,
    quarantine,
    refusals_explained,
    require_folder,
    write_atomic,
    write_new,
)


def test_replacing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="exhausted"):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["f"], "no temporary file may stay"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "mtquant gc"),
        (errno.EDQUOT, "mtquant gc"),
        (errno.EACCES, "MTQUANT_STORE"),
        (errno.EROFS, "MTQUANT_STORE"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_refusals_name_the_path_and_what_to_do(tmp_path, code, advice):
    with pytest.raises(StoreError, match=advice) as caught, guarded(tmp_path / "f", "write"):
        raise OSError(code, os.strerror(code))
    assert str(tmp_path / "f") in str(caught.value)
    assert caught.value.exit_code == 9


def test_other_errors_pass(tmp_path):
    with pytest.raises(ValueError, match="mine"), guarded(tmp_path, "write"):
        raise ValueError("mine")
    with pytest.raises(FileNotFoundError), guarded(tmp_path, "read", passing=(FileNotFoundError,)):
        (tmp_path / "f").read_bytes()
    with pytest.raises(StoreError), guarded(tmp_path, "read"):
        (tmp_path / "f").read_bytes()


def test_work_that_meets_a_full_disk_is_explained_and_other_errors_are_not(tmp_path):
    for error in (OSError(errno.ENOSPC, "No space left"), OSError("1000 requested and 12 written")):
        with pytest.raises(StoreError, match="exhausted"), refusals_explained(tmp_path):
            raise error
    with pytest.raises(ConnectionError), refusals_explained(tmp_path):
        raise ConnectionError("reset")


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f/g"):
        with pytest.raises(StoreError, match="in the way"):
            make_folder(path)


def test_only_the_first_creates(tmp_path):
    assert write_new(tmp_path / "f", b"1")
    assert not write_new(tmp_path / "f", b"2")
    assert (tmp_path / "f").read_bytes() == b"1"


def test_quarantine_never_overwrites(tmp_path):
    for content in ("1", "2"):
        (tmp_path / "f").write_text(content)
        quarantine(tmp_path / "f", tmp_path / "q")
    assert [(tmp_path / "q" / name).read_text() for name in ("f-1", "f-2")] == ["1", "2"]


def test_a_folder_may_be_absent_but_nothing_else(tmp_path):
    require_folder(tmp_path)
    require_folder(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file is no folder"):
        require_folder(tmp_path / "file")
