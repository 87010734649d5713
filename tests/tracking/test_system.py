"""Samples of the machine go on counting through interruptions, once each."""

from mtquant.store.journal import Journal
from mtquant.store.runs import run_folder
from mtquant.tracking.publisher import Publisher
from mtquant.tracking.system import SAMPLE_SECONDS, measured, sampling, system_journal
from tests.tracking.histories import history


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def sampled(root, run_id, times):
    clock = Clock()
    with sampling(root, run_id, clock) as sample:
        for _ in range(times):
            sample()
            clock.seconds += SAMPLE_SECONDS
            sample()
            clock.seconds += 0.5 * SAMPLE_SECONDS
            sample()
            clock.seconds -= 0.5 * SAMPLE_SECONDS


def test_values_are_those_of_a_machine(tmp_path):
    found = measured(tmp_path)
    assert 0.0 <= found["system/cpu_utilization_percentage"] <= 100.0
    assert 0.0 < found["system/system_memory_usage_percentage"] <= 100.0
    assert found["system/system_memory_usage_megabytes"] > 10.0
    assert found["system/disk_available_megabytes"] >= 0.0


def test_steps_go_on_counting_after_an_interruption(root, record):
    sampled(root, record.run_id, 2)
    path = system_journal(root, record.run_id).path
    with path.open("ab") as file:
        file.write(b'{"step": 3, "wal')
    sampled(root, record.run_id, 3)
    assert [line.step for line in Journal(path).read()] == [1, 2, 3, 4, 5]


def test_two_processes_do_not_sample_the_same_run(root, record):
    with sampling(root, record.run_id):
        sampled(root, record.run_id, 3)
    assert system_journal(root, record.run_id).read() == []


def test_the_parent_shows_every_sample_once(root, record):
    publisher = Publisher(root)
    for times in (2, 1):
        sampled(root, record.run_id, times)
        done = publisher.publish(record.run_id)
        Publisher(root).publish(record.run_id)
    found = history(publisher.client, done.parent_id)
    assert set(found) == set(measured(root))
    for points in found.values():
        assert [step for step, _ in points] == [1, 2, 3]


def test_a_run_that_is_not_sampled_has_no_file(root, record):
    with sampling(root, record.run_id) as sample:
        sample()
    assert not (run_folder(root, record.run_id) / "system.jsonl").exists()
