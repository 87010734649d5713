"""The unit process: exit codes, reports, stopping, dying, and exact continuation."""

import json
import os
import resource
import signal
import subprocess
import time

import numpy as np
import pytest

from mtquant.errors import CheckpointError, LockedError, StoreError
from mtquant.execution.attempt import describe, run_attempt
from mtquant.store.runs import read_events
from mtquant.store.snapshot import Snapshot
from mtquant.store.status import read_error, unit_status
from mtquant.store.units import UnitResult
from tests.execution.conftest import make_toys
from tests.execution.toy import WORK


def execute(toys, name, **settings):
    """Run one unit process to its end; return the exit code and the report."""
    done = subprocess.run(
        toys.command(name),
        env=toys.environment(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
        **settings,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}


def start(toys, name, *arguments):
    """Start one unit process and return when its journal has a line."""
    process = subprocess.Popen(
        [*toys.command(name), *arguments],
        env=toys.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(toys.unit(name).journal.read)
    return process


def wait_for(condition, seconds=30.0):
    """Wait until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def walk_of(toys, name):
    """Return what a finished unit drew, its metrics and its journal."""
    unit = toys.unit(name)
    done = unit.verify()
    return (
        np.load(unit.outputs / "walk.npy"),
        done.metrics,
        done.outputs,
        [(x.step, x.metrics) for x in unit.journal.read()],
    )


def uninterrupted(root, **config):
    """Return the same for a run that nothing disturbs."""
    toys = make_toys(root).add("phase1-forex", **config)
    assert execute(toys, "phase1-forex")[0] == 0
    return walk_of(toys, "phase1-forex")


def equal(a, b):
    return np.array_equal(a[0], b[0]) and a[1:] == b[1:]


def test_a_unit_ends_with_its_marker_and_a_log(toys, tmp_path):
    toys.add("phase1-forex")
    logs = tmp_path / "logs"
    done = subprocess.run([*toys.command("phase1-forex"), "--log-dir", str(logs)], env=toys.environment(), check=False)
    assert done.returncode == 0
    marker = toys.unit("phase1-forex").verify()
    assert marker.attempts == 1
    assert marker.outputs.keys() == {"walk"}
    log = (toys.unit("phase1-forex").folder / "unit.log").read_text()
    assert "starts at step 0" in log
    assert "step 4: value" in log
    assert (logs / "phase1/training.log").read_text() == log


def test_a_finished_unit_is_not_run_again(toys):
    toys.add("phase1-forex")
    assert [execute(toys, "phase1-forex")[0] for _ in range(2)] == [0, 0]
    assert toys.unit("phase1-forex").attempts() == 1


@pytest.mark.parametrize(
    ("mishap", "code", "word"),
    [("nan", 7, "diverged at step 2"), ("data", 4, "row 7"), ("bug", 1, "ZeroDivisionError: a defect (toy.py:")],
)
def test_failures_end_with_their_code_and_words(toys, mishap, code, word):
    toys.add("phase1-forex", mishap=mishap, at=2)
    found, report = execute(toys, "phase1-forex")
    assert found == report["exit_code"] == code
    assert word in report["message"]
    assert not report["transient"]
    unit = toys.unit("phase1-forex")
    assert unit.done() is None
    assert (read_error(unit).exit_code, word in read_error(unit).message) == (code, True)
    assert unit_status(unit).state == "failed"
    log = (unit.folder / "unit.log").read_text()
    assert ("Traceback" in log) == (code == 1)


def test_refused_system_calls_may_succeed_next_time():
    assert describe(ConnectionError("reset"), 1).transient
    assert describe(MemoryError(), 1).transient
    assert not describe(StoreError("disk full"), 1).transient
    assert not describe(ValueError("x"), 1).transient


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_checkpoints_and_the_rest_is_exact(toys, tmp_path, number):
    toys.add("phase1-forex", steps=12, pause=0.03)
    process = start(toys, "phase1-forex")
    process.send_signal(number)
    assert process.wait(30) == 75
    process.stdin.close()
    unit = toys.unit("phase1-forex")
    assert unit_status(unit).state == "stopped"
    assert 0 < unit.checkpoints.newest_step() < 12
    assert execute(toys, "phase1-forex")[0] == 0
    assert unit.done().attempts == 2
    assert equal(walk_of(toys, "phase1-forex"), uninterrupted(tmp_path / "other", steps=12, pause=0.03))


def test_kill_loses_at_most_what_came_after_the_checkpoint(toys, tmp_path):
    toys.add("phase1-forex", steps=12, pause=0.03)
    process = start(toys, "phase1-forex")
    wait_for(toys.unit("phase1-forex").checkpoints.newest_step)
    process.kill()
    process.wait(30)
    process.stdin.close()
    assert unit_status(toys.unit("phase1-forex")).state == "dead"
    assert execute(toys, "phase1-forex")[0] == 0
    assert equal(walk_of(toys, "phase1-forex"), uninterrupted(tmp_path / "other", steps=12, pause=0.03))


def test_a_child_stops_when_its_parent_is_gone(toys):
    toys.add("phase1-forex", mishap="hang", at=1)
    process = start(toys, "phase1-forex", "--supervised")
    process.stdin.close()
    assert process.wait(30) == 75
    assert toys.unit("phase1-forex").checkpoints.newest_step() == 1


def test_closed_input_means_nothing_to_an_unsupervised_unit(toys):
    toys.add("phase1-forex")
    assert execute(toys, "phase1-forex")[0] == 0


def test_the_second_process_is_told_who_has_the_unit(toys):
    toys.add("phase1-forex", mishap="hang", at=1)
    process = start(toys, "phase1-forex")
    code, report = execute(toys, "phase1-forex")
    assert code == LockedError.exit_code == 6
    assert f"held by pid {process.pid}" in report["message"]
    assert unit_status(toys.unit("phase1-forex")).holder.pid == process.pid
    process.terminate()
    assert process.wait(30) == 75
    process.stdin.close()
    assert toys.unit("phase1-forex").attempts() == 1, "the second must not have begun"


def test_upstream_must_be_complete_and_whole(hierarchy):
    code, report = execute(hierarchy, "phase1-forex")
    assert code == 9
    assert "dataset-market is not complete" in report["message"]
    assert execute(hierarchy, "dataset-market")[0] == 0
    path = hierarchy.unit("dataset-market").outputs / "walk.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    code, report = execute(hierarchy, "phase1-forex")
    assert code == 9
    assert "damaged" in report["message"]
    assert execute(hierarchy, "dataset-market")[0] == 0, "it is made again"
    assert execute(hierarchy, "phase1-forex")[0] == 0
    consumed = hierarchy.unit("phase1-forex").done().consumed
    assert consumed == {"dataset-market": hierarchy.unit("dataset-market").done().outputs}


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_full_disk_ends_with_advice_and_loses_nothing(toys, tmp_path):
    # Each journal line takes about 60 bytes, a checkpoint 8 bytes a step: the journal meets the limit on the way.
    toys.add("phase1-forex", steps=1000, every=100)
    code, report = execute(toys, "phase1-forex", preexec_fn=small_files)
    assert code == 9
    assert "Free some space" in report["message"]
    assert "mtquant resume" in report["message"]
    unit = toys.unit("phase1-forex")
    assert unit.checkpoints.newest_step() >= 100
    assert execute(toys, "phase1-forex")[0] == 0
    assert equal(walk_of(toys, "phase1-forex"), uninterrupted(tmp_path / "other", steps=1000, every=100))


def test_results_that_do_not_fit_on_the_disk_end_with_advice(toys):
    # Without journal or checkpoint on the way: 8 bytes a step meet the limit in `np.save`.
    toys.add("phase1-forex", steps=5000, every=5000, quiet=True)
    code, report = execute(toys, "phase1-forex", preexec_fn=small_files)
    assert code == 9
    assert "Free some space" in report["message"]
    assert toys.unit("phase1-forex").done() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_store_ends_with_advice(toys):
    toys.add("phase1-forex")
    folder = toys.unit("phase1-forex").folder
    folder.chmod(0o500)
    try:
        code, report = execute(toys, "phase1-forex")
    finally:
        folder.chmod(0o700)
    assert code == 9
    assert "MTQUANT_STORE" in report["message"]


def test_a_unit_can_be_run_in_this_process(toys, monkeypatch):
    monkeypatch.setenv("MTQUANT_STORE", str(toys.root))
    toys.add("phase1-forex")
    done = run_attempt(toys.root, toys.record.run_id, "phase1-forex", WORK)
    assert done == toys.unit("phase1-forex").done()


def damaged(toys, name, count=2):
    """Flip a bit in the newest `count` checkpoints of a unit that was stopped on the way."""
    unit = toys.unit(name)
    steps = sorted(unit.checkpoints.root.iterdir())[-count:]
    for folder in steps:
        path = folder / "arrays.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    return [int(folder.name) for folder in steps]


def stopped(toys, name, **config):
    """Stop a unit after its second checkpoint."""
    toys.add(name, **config)
    process = start(toys, name)
    wait_for(lambda: len(list(toys.unit(name).checkpoints.root.glob("0*"))) >= 2)
    process.terminate()
    assert process.wait(30) == 75
    process.stdin.close()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(toys, tmp_path):
    stopped(toys, "phase1-forex", steps=12, pause=0.03)
    (bad,) = damaged(toys, "phase1-forex", 1)
    code, _ = execute(toys, "phase1-forex")
    assert code == 0
    continued = [event for event in read_events(toys.root, toys.record.run_id) if event["event"] == "continued"]
    assert 0 < continued[-1]["step"] < bad
    assert equal(walk_of(toys, "phase1-forex"), uninterrupted(tmp_path / "other", steps=12, pause=0.03))


def test_a_start_from_zero_is_never_silent(toys, tmp_path):
    stopped(toys, "phase1-forex", steps=12, pause=0.03)
    kept = len(list(toys.unit("phase1-forex").checkpoints.root.glob("0*")))
    damaged(toys, "phase1-forex", kept)
    for _ in range(2):
        refused = subprocess.run(
            [*toys.command("phase1-forex"), "--no-restart"],
            env=toys.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == CheckpointError.exit_code == 5
        assert f"All {kept} checkpoints of phase1-forex are damaged" in refused.stderr
    assert execute(toys, "phase1-forex")[0] == 0
    (event,) = [event for event in read_events(toys.root, toys.record.run_id) if event["event"] == "restarted"]
    assert event["message"] == f"all {kept} checkpoints of phase1-forex are damaged; it starts again from step 0 of 12"
    assert event["message"] in (toys.unit("phase1-forex").folder / "unit.log").read_text()
    assert equal(walk_of(toys, "phase1-forex"), uninterrupted(tmp_path / "other", steps=12, pause=0.03))


def test_work_without_boundaries_ends_at_once(toys):
    toys.add("evaluate-report", mishap="deaf", at=1)
    process = start(toys, "evaluate-report")
    process.terminate()
    assert process.wait(30) == 75
    process.stdin.close()
    assert "made again" in read_error(toys.unit("evaluate-report")).message


def test_what_a_process_used_is_an_event(toys):
    toys.add("phase1-forex")
    execute(toys, "phase1-forex")
    (event,) = [event for event in read_events(toys.root, toys.record.run_id) if event["event"] == "process-ended"]
    assert event["unit"] == "phase1-forex"
    assert event["processor_seconds"] > 0


def test_an_overtaken_attempt_writes_nothing_more(toys):
    """Where locks of two machines do not reach each other, the attempt's number decides."""
    unit = toys.add("phase1-forex").unit("phase1-forex")

    def overtaken(spec, description, upstream, handle):
        handle.save_checkpoint(1, Snapshot({}, {}))
        (unit.folder / "attempts" / "0002.json").write_text("{}")
        if description.inputs["config"].get("late"):
            return UnitResult({}, {})
        handle.save_checkpoint(2, Snapshot({}, {}))
        raise AssertionError

    with pytest.raises(LockedError, match="Attempt 2 of the unit phase1-forex has begun elsewhere; attempt 1 writes"):
        run_attempt(toys.root, toys.record.run_id, "phase1-forex", {"phase1": overtaken})
    assert unit.checkpoints.newest_step() == 1
    late = toys.add("phase1-equity", late=True).unit("phase1-equity")
    unit = late
    with pytest.raises(LockedError, match="Attempt 2"):
        run_attempt(toys.root, toys.record.run_id, "phase1-equity", {"phase1": overtaken})
    assert late.done() is None


def test_lack_of_memory_is_said_and_may_be_over_next_time(toys):
    toys.add("phase1-forex", mishap="memory", at=2).arm("phase1-forex")
    code, report = execute(toys, "phase1-forex")
    assert (code, report["transient"]) == (1, True)
    assert "out of memory (toy.py:" in report["message"]
    assert "`--workers 1`" in report["message"]
    assert execute(toys, "phase1-forex")[0] == 0
