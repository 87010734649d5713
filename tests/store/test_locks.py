"""Locks: one holder, named, gone with its process."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from mtquant.errors import LockedError
from mtquant.store.locks import holder_of, locked, waited_for

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


def test_a_nameless_lock_leaves_the_file_as_it_is(tmp_path):
    path = tmp_path / "lock"
    path.write_text("whoever was here")
    with locked(path, "It", named=False):
        assert path.read_text() == "whoever was here"
        with pytest.raises(LockedError), locked(path, "It"):
            pass


def test_shared_holders_let_each_other_in_and_keep_a_lone_one_waiting(tmp_path):
    path = tmp_path / "lock"
    order = []

    def alone():
        with waited_for(path):
            order.append("alone")

    with waited_for(path, shared=True):
        thread = threading.Thread(target=alone)
        thread.start()
        with waited_for(path, shared=True):
            order.append("shared")
        order.append("shared over")
    thread.join()
    assert order == ["shared", "shared over", "alone"]
