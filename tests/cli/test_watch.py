"""`status --watch` follows a run to its end and ends as the run did."""

import io
import json

import pytest
from rich.console import Console

from mtquant.cli.watch import watch
from mtquant.store.runs import append_event, create_run, load_run, run_folder, run_lock, save_run, unit_of_run
from mtquant.store.snapshot import Snapshot
from mtquant.store.status import UnitError, write_error
from mtquant.store.units import Unit, UnitSpec
from tests.cli.conftest import SMALL, driving
from tests.cli.test_train import wait_for

FOREX = UnitSpec("phase1-forex", "phase1", "forex", {"g": "f"}, (), 1000)


class Story:
    """A run that does the next thing whenever somebody pauses between two looks."""

    def __init__(self, root):
        self.root = root
        self.record = create_run(root, ["train"], {}, "direct")
        self.unit = Unit(root, FOREX)
        self.lock = run_lock(root, self.record.run_id)
        self.lock.__enter__()
        self.events = iter([self.prepared, self.trains, self.advances, lambda: None, self.ends])

    def pause(self):
        next(self.events)()

    def prepared(self):
        self.unit.create()
        save_run(self.root, self.record.with_units([FOREX]))

    def trains(self):
        self.held = self.unit.lock()
        self.held.__enter__()
        self.unit.begin_attempt()
        append_event(self.root, self.record.run_id, "restarted", unit=FOREX.name, message="all 2 checkpoints damaged")

    def advances(self):
        self.unit.journal.append(500, {"reward_per_step": 0.5}, 1000.0)
        self.unit.checkpoints.save(500, Snapshot({}, {}), 1)

    def ends(self):
        self.unit.finish({}, {})
        self.held.__exit__(None, None, None)
        self.lock.__exit__(None, None, None)


@pytest.fixture
def story(tmp_path):
    return Story(tmp_path)


def test_programs_get_one_object_per_change(story, capsys):
    look = watch(story.root, story.record, Console(), as_json=True, pause=story.pause)
    assert look.status.state == "done"
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["state"] for entry in found] == ["preparing", "running", "running", "running", "done"]
    assert [[unit["step"] for unit in entry["units"]] for entry in found] == [[], [0], [0], [500], [1000]]
    assert found[3]["units"][0]["checkpoint"] == 500
    assert [len(entry["notes"]) for entry in found] == [0, 0, 1, 1, 1]


def test_without_a_terminal_there_are_plain_lines(story):
    file = io.StringIO()
    watch(story.root, story.record, Console(file=file, width=140), as_json=False, pause=story.pause)
    lines = file.getvalue().splitlines()
    assert lines[0].startswith(f"run {story.record.run_id}: preparing, held by pid")
    assert lines[2:] == [
        "phase1-forex: all 2 checkpoints damaged",
        "> phase1-forex starting",
        f"run {story.record.run_id}: done",
        "+ phase1-forex done, reward 0.5",
    ]


def test_a_terminal_shows_the_table(story):
    file = io.StringIO()
    watch(
        story.root, story.record, Console(file=file, width=140, force_terminal=True), as_json=False, pause=story.pause
    )
    assert "500" in file.getvalue()
    assert "all 2 checkpoints damaged" in file.getvalue().splitlines()[-2]


@pytest.mark.parametrize(
    ("exit_code", "state", "code"), [(75, "stopped", 75), (7, "failed", 7), (None, "dead", 75), (0, "done", 0)]
)
def test_it_ends_as_the_run_did(cli, exit_code, state, code):
    record = create_run(cli.root, [], {"data": {}}, "direct").with_units([FOREX])
    save_run(cli.root, record)
    unit = unit_of_run_made(cli.root, record)
    attempt = unit.begin_attempt()
    if exit_code == 0:
        unit.finish({}, {})
    elif exit_code is not None:
        write_error(unit, UnitError(attempt, exit_code, "Error", "so it ended", False))
    ended = cli("status", "--watch")
    assert ended.code == code
    assert f"run {record.run_id}: {state}" in ended.out
    plain = cli("status")
    assert plain.code == 0, "the question was answered"
    for text in (ended.out, plain.out):
        assert (f"resume with: mtquant resume {record.run_id}" in text) == (code != 0)
    assert ("the last sign of life was" in plain.out) == (state == "dead")


def unit_of_run_made(root, record):
    Unit(root, FOREX).create()
    return unit_of_run(root, record, FOREX.name)


def test_a_running_training_is_followed(cli):
    (cli.root / "slow-phase1-forex").touch()
    with driving(cli.root, "train", *SMALL, "--phase", "1") as process:
        wait_for(lambda: list(cli.root.glob("units/phase1-forex-*/checkpoints/0*")))
        assert json.loads(cli("status", "--json").out)["state"] == "running"
        (cli.root / "slow-phase1-forex").unlink()
        ended = cli("status", "--watch")
        assert (ended.code, "+ phase1-forex done" in ended.out) == (0, True)
        assert process.wait(timeout=60) == 0


def test_a_unit_that_lost_its_checkpoints_is_told(finished):
    record = load_run(finished.root)
    message = "all 2 checkpoints of phase1-forex are damaged; it starts again from step 0 of 100"
    append_event(finished.root, record.run_id, "restarted", unit="phase1-forex", attempt=2, message=message)
    assert f"phase1-forex: {message}" in finished("status").out
    assert json.loads(finished("status", "--json").out)["notes"] == [f"phase1-forex: {message}"]


def test_logs_follow_a_run_from_before_its_units_are_known(cli):
    (cli.root / "slow-phase1-forex").touch()
    with driving(cli.root, "train", *SMALL, "--phase", "1") as process:
        wait_for(lambda: list(cli.root.glob("runs/*/begin.lock")))
        with driving(cli.root, "logs", "--follow") as follower:
            wait_for(lambda: list(cli.root.glob("units/phase1-forex-*/checkpoints/0*")))
            (cli.root / "slow-phase1-forex").unlink()
            assert process.wait(timeout=60) == 0
            out, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    for name in load_run(cli.root).units:
        assert f"{name}: " in out
        assert f"{name} is complete" in out


def test_the_last_lines_of_a_log(finished):
    run = load_run(finished.root).run_id
    whole = finished("logs", run, "phase1-forex").out
    assert finished("logs", run, "phase1-forex", "-n", "2").out == "".join(whole.splitlines(keepends=True)[-2:])
    assert finished("logs", run, "phase1-forex", "-n", "0").out == ""
    assert len(finished("logs", run, "-n", "1").out.splitlines()) == 9
    (run_folder(finished.root, run) / "flow.log").write_text("prefect says\n")
    assert finished("logs", run, "flow").out == "prefect says\n"


def test_alarms_of_the_learning_curves_are_told(store, cli):
    record = create_run(store, ["train"], {}, "direct").with_units([FOREX])
    save_run(store, record)
    unit = Unit(store, FOREX)
    unit.create()
    for step in range(1, 5):
        unit.journal.append(100 * step, {"reward_per_step": 0.5, "approx_kl": 0.001})
    assert "alarm" not in cli("status").out
    for step in range(5, 8):
        unit.journal.append(100 * step, {"reward_per_step": 0.5, "approx_kl": 0.5})
    ended = cli("status")
    assert "alarm, phase1-forex: updates move the policy too far (approx_kl 0.5 at step 700)" in ended.out
    assert len(json.loads(cli("status", "--json").out)["notes"]) == 1
