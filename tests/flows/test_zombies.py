"""Flow runs whose process died: which are closed, and which are left alone."""

from contextlib import ExitStack
from types import SimpleNamespace
from uuid import uuid4

import pytest
from httpx import ConnectError
from prefect.client.schemas.objects import StateType

from flows.zombies import OPEN, close_zombies
from mtquant.store.runs import append_event, create_run, run_lock


class Client:
    """Stands in for Prefect's client: hands out open flow runs, remembers what is forced on them."""

    def __init__(self):
        self.open = []
        self.tasks = {}
        self.forced = {}
        self.refuses = False

    def flow_run(self, run_id, tasks=0):
        """Add a flow run that Prefect shows as running."""
        tags = ["mtquant", f"run:{run_id}"] if run_id else ["mtquant"]
        made = SimpleNamespace(id=uuid4(), name=f"flow-{len(self.open)}", tags=tags)
        self.open.append(made)
        self.tasks[made.id] = [SimpleNamespace(id=uuid4()) for _ in range(tasks)]
        return made

    def read_flow_runs(self, flow_filter, flow_run_filter):
        if self.refuses:
            raise ConnectError("refused")
        assert flow_filter.name.any_ == ["mtquant-pipeline"]
        assert flow_run_filter.state.type.any_ == OPEN
        return list(self.open)

    def read_task_runs(self, flow_run_filter, task_run_filter):
        return self.tasks[flow_run_filter.id.any_[0]]

    def set_flow_run_state(self, flow_run_id, state, force):
        self._force(flow_run_id, state, force)

    def set_task_run_state(self, task_run_id, state, force):
        self._force(task_run_id, state, force)

    def _force(self, what, state, force):
        assert force
        self.forced[what] = (state.type, state.message)


@pytest.fixture
def client():
    return Client()


def recorded(root, *events):
    """Record a run that has said `events`."""
    record = create_run(root, ["train"], {}, "prefect")
    for event in events:
        append_event(root, record.run_id, event)
    return record.run_id


def close(client, root, run, own=None):
    return close_zombies(client, root, "mtquant-pipeline", run, own or uuid4(), "the new one")


def test_an_earlier_flow_run_of_the_run_and_its_tasks_are_closed(client, tmp_path):
    run = recorded(tmp_path, "run-started")
    mine, zombie = client.flow_run(run), client.flow_run(run, tasks=2)
    assert close(client, tmp_path, run, mine.id) == [zombie.name]
    crashed = (StateType.CRASHED, "superseded by the new one")
    assert client.forced == dict.fromkeys([zombie.id, *(task.id for task in client.tasks[zombie.id])], crashed)


def test_of_other_runs_only_those_that_began_without_an_end_and_that_nobody_executes(client, tmp_path):
    run = recorded(tmp_path)
    killed = recorded(tmp_path, "run-started", "run-ended", "run-started")
    ended = recorded(tmp_path, "run-started", "run-ended")
    begun = recorded(tmp_path)
    alive = recorded(tmp_path, "run-started")
    for other in (ended, begun, alive, "20260101-000000-0000", None):
        client.flow_run(other)
    zombie = client.flow_run(killed)
    with ExitStack() as held:
        held.enter_context(run_lock(tmp_path, alive))
        assert close(client, tmp_path, run) == [zombie.name]
    assert list(client.forced) == [zombie.id]


def test_a_server_that_does_not_answer_stops_nothing(client, tmp_path, caplog):
    client.refuses = True
    assert close(client, tmp_path, recorded(tmp_path)) == []
    assert "does not show which flow runs are over" in caplog.text
