"""Locks: one holder, named, gone with its process."""

import os
import signal
import subprocess
import sys

import pytest

from mtquant.errors import LockedError
from mtquant.store.locks import holder_of, locked

HOLD = """
import sys
from pathlib import Path
from mtquant.store.locks import locked
with locked(Path(sys.argv[1]), "It"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_second_is_told_who_holds_it(tmp_path, other):
    refused = pytest.raises(LockedError, match=rf"The unit x is held by pid {other.pid} on .* since 20")
    with refused, locked(tmp_path / "lock", "The unit x"):
        raise AssertionError("entered")
    assert holder_of(tmp_path / "lock").pid == other.pid


def test_kill_frees_it(tmp_path, other):
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert holder_of(tmp_path / "lock") is None
    with locked(tmp_path / "lock", "It"):
        assert holder_of(tmp_path / "lock").pid == os.getpid()
    assert holder_of(tmp_path / "lock") is None


def test_an_error_inside_frees_it_and_passes_unchanged(tmp_path):
    with pytest.raises(OSError, match="mine"), locked(tmp_path / "lock", "It"):
        raise OSError("mine")
    assert holder_of(tmp_path / "lock") is None


def test_nobody_holds_what_is_not_there(tmp_path):
    assert holder_of(tmp_path / "lock") is None
    assert not (tmp_path / "lock").exists(), "looking must not create anything"
