"""The engine: order, parallel work, failures that stay where they are, retries, stops and continuation."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from mtquant.errors import DataError, LockedError, Preempted, StoreError, TrainingError
from mtquant.execution.direct import run_direct
from mtquant.execution.outcomes import conclude
from mtquant.execution.supervisor import Outcome
from mtquant.store.runs import read_events, run_lock
from mtquant.store.status import run_status
from tests.execution.conftest import make_toys
from tests.execution.test_unit import wait_for


def run(toys, **settings):
    """Run everything and return name to state, with attempts where more than one was made."""
    workers = settings.pop("workers", 2)
    outcomes = run_direct(toys.supervisor(**settings), toys.units, workers=workers, tick_seconds=0.02)
    return {outcome.name: (outcome.state, outcome.attempts) for outcome in outcomes}


def results(toys):
    """Return what every unit produced."""
    return {unit.name: toys.unit(unit.name).verify().outputs for unit in toys.units}


def table(error):
    """Return unit to state from the table of an error."""
    return {line.split()[0]: line.split()[1] for line in str(error.value).splitlines()[1:]}


def build(toys, **forex):
    """Add the small hierarchy, its forex specialist configured."""
    toys.add("dataset-market").add("phase1-forex", "dataset-market", **forex).add("phase1-equity", "dataset-market")
    return toys.add("phase2-meta", "phase1-forex", "phase1-equity")


def test_everything_runs_once_in_order(hierarchy):
    assert set(run(hierarchy).values()) == {("done", 1)}
    ends = [
        event["unit"]
        for event in read_events(hierarchy.root, hierarchy.record.run_id)
        if event["event"] == "unit-ended"
    ]
    assert ends[0] == "dataset-market"
    assert ends[-1] == "phase2-meta"
    assert set(run(hierarchy).values()) == {("reused", 1)}
    assert run_status(hierarchy.root, hierarchy.record).state == "done"


def test_specialists_run_at_the_same_time(toys):
    toys.add("phase1-forex", steps=8, pause=0.05).add("phase1-equity", steps=8, pause=0.05)
    seen = []
    run_direct(
        toys.supervisor(), toys.units, workers=2, watch=lambda states: seen.append(dict(states)), tick_seconds=0.02
    )
    assert {"phase1-forex": "running", "phase1-equity": "running"} in seen
    assert set(seen[-1].values()) == {"done"}


def test_one_worker_runs_one_at_a_time(toys):
    toys.add("phase1-forex").add("phase1-equity")
    seen = []
    run_direct(
        toys.supervisor(),
        toys.units,
        workers=1,
        watch=lambda states: seen.append(list(states.values())),
        tick_seconds=0.02,
    )
    assert max(states.count("running") for states in seen) == 1


def test_workers_do_not_change_results(hierarchy, tmp_path):
    run(hierarchy)
    other = build(make_toys(tmp_path / "other"))
    run(other, workers=1)
    assert results(other) == results(hierarchy)


def test_a_failed_specialist_does_not_stop_its_sibling(toys):
    build(toys, mishap="nan", at=2)
    with pytest.raises(TrainingError, match="phase1-forex failed; complete units are kept.*mtquant resume") as error:
        run(toys)
    assert table(error) == {
        "dataset-market": "done",
        "phase1-forex": "failed",
        "phase1-equity": "done",
        "phase2-meta": "skipped",
    }
    assert toys.unit("phase1-forex").attempts() == 1, "diverged training is not tried again"


def test_the_cause_of_all_failures_is_the_error(toys):
    toys.add("dataset-market", mishap="data", at=1).add("phase1-forex", "dataset-market")
    with pytest.raises(DataError, match="row 7"):
        run(toys)


def test_different_causes_are_a_failed_training(toys):
    toys.add("phase1-forex", mishap="data", at=1).add("phase1-equity", mishap="nan", at=1)
    with pytest.raises(TrainingError) as error:
        run(toys)
    assert error.value.exit_code == 7


@pytest.mark.parametrize("mishap", ["killed", "refused"])
def test_what_may_succeed_next_time_is_tried_again_from_its_checkpoint(toys, tmp_path, mishap):
    build(toys, mishap=mishap, at=3)
    toys.arm("phase1-forex")
    assert run(toys)["phase1-forex"] == ("done", 2)
    assert run_of_undisturbed(tmp_path, mishap) == results(toys)
    retries = [event for event in read_events(toys.root, toys.record.run_id) if event["event"] == "retry"]
    assert [event["unit"] for event in retries] == ["phase1-forex"]


def run_of_undisturbed(tmp_path, mishap):
    """Return the results of the same units whose mishap is not armed."""
    other = build(make_toys(tmp_path / "other"), mishap=mishap, at=3)
    run(other)
    return results(other)


def test_what_always_dies_is_given_up(toys):
    toys.add("phase1-forex", mishap="always-killed", at=1)
    with pytest.raises(TrainingError, match="ended by signal 9"):
        run(toys, retries=2)
    assert toys.unit("phase1-forex").attempts() == 3


def test_success_without_a_marker_is_a_failure(toys):
    toys.add("phase1-forex", mishap="liar", at=1)
    with pytest.raises(TrainingError, match="without a valid DONE"):
        run(toys)


def test_damaged_results_are_made_again(toys):
    toys.add("phase1-forex")
    run(toys)
    before = results(toys)
    (toys.unit("phase1-forex").outputs / "walk.npy").write_bytes(b"")
    assert run(toys) == {"phase1-forex": ("done", 2)}
    assert results(toys) == before


def test_one_process_executes_a_run(hierarchy):
    with run_lock(hierarchy.root, hierarchy.record.run_id), pytest.raises(LockedError, match="The run 20"):
        run(hierarchy)


def test_a_unit_that_another_run_makes_is_refused_or_waited_for(toys):
    toys.add("phase1-forex")
    unit = toys.unit("phase1-forex")
    with unit.lock(), pytest.raises(LockedError, match="held by pid"):
        run(toys)
    with unit.lock():
        supervisor = toys.supervisor(wait_for_locks=True)
        found = []
        waiter = threading.Thread(target=lambda: found.append(supervisor.run("phase1-forex")))
        waiter.start()
        wait_for(
            lambda: len([e for e in read_events(toys.root, toys.record.run_id) if e["event"] == "unit-started"]) > 1
        )
    waiter.join(30)
    assert found[0].state == "done"


def drive(toys):
    """Start a run in a process of its own and return when both specialists work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.execution.drive", str(toys.root), toys.record.run_id],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: all(toys.unit(name).journal.read() for name in ("phase1-forex", "phase1-equity")))
    return process


def slow(toys, pause=0.05):
    """Add specialists that take long enough to be stopped; their results do not depend on `pause`."""
    for name in ("phase1-forex", "phase1-equity"):
        toys.add(name, steps=24, every=3, pause=pause)
    return toys.add("phase2-meta", "phase1-forex", "phase1-equity")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_can_be_stopped_anywhere_and_continued_exactly(toys, tmp_path, number):
    slow(toys)
    process = drive(toys)
    process.send_signal(number)
    message, _ = process.communicate(timeout=30)
    if number == signal.SIGKILL:
        assert process.returncode == -9
        # The children notice on their own.
        wait_for(lambda: not any(toys.unit(name).holder() for name in ("phase1-forex", "phase1-equity")))
    else:
        assert process.returncode == Preempted.exit_code == 75
        assert f"mtquant resume {toys.record.run_id}" in json.loads(message)["message"]
    status = run_status(toys.root, toys.record)
    assert (status.state, [unit.state for unit in status.units]) == ("stopped", ["stopped", "stopped", "waiting"])
    assert all(unit.checkpoint for unit in status.units[:2])
    assert run(toys) == {"phase1-forex": ("done", 2), "phase1-equity": ("done", 2), "phase2-meta": ("done", 1)}
    other = slow(make_toys(tmp_path / "other"), pause=0.0)
    run(other)
    assert results(other) == results(toys)
    for unit in toys.units:
        lines = [[(x.step, x.metrics) for x in t.unit(unit.name).journal.read()] for t in (toys, other)]
        assert lines[0] == lines[1]


def test_a_second_interrupt_ends_the_children_at_once(toys):
    toys.add("phase1-forex", mishap="deaf", at=1).add("phase1-equity", mishap="deaf", at=1)
    process = drive(toys)
    process.send_signal(signal.SIGINT)
    wait_for(
        lambda: all(
            "asked to stop" in (toys.unit(n).folder / "unit.log").read_text() for n in ("phase1-forex", "phase1-equity")
        )
    )
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert not any(toys.unit(unit.name).holder() for unit in toys.units)


@pytest.mark.parametrize(
    ("outcomes", "stopping", "error"),
    [
        ([Outcome("a", "done"), Outcome("b", "reused")], True, None),
        ([Outcome("a", "stopped", 75)], False, Preempted),
        ([Outcome("a", "failed", 7), Outcome("b", "stopped", 75)], False, TrainingError),
        ([Outcome("a", "failed", 7), Outcome("b", "stopped", 75)], True, Preempted),
        ([Outcome("a", "failed", 9), Outcome("b", "skipped")], False, StoreError),
        ([Outcome("a", "failed", 1)], False, TrainingError),
    ],
)
def test_what_outcomes_mean_for_the_run(outcomes, stopping, error):
    if error is None:
        conclude("r", outcomes, stopping=stopping)
        return
    with pytest.raises(error, match="mtquant resume r"):
        conclude("r", outcomes, stopping=stopping)
