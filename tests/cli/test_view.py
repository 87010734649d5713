"""What is shown of a run: on a terminal, without one, and to programs."""

import io
import json

import pytest
from rich.console import Console

from mtquant.cli import progress as module
from mtquant.cli.progress import Progress, UnitProgress, clock, compact
from mtquant.cli.view import JsonView, LiveView, PlainView, QuietView, bars
from mtquant.pipeline import PlannedUnit
from mtquant.store.runs import create_run, save_run
from mtquant.store.snapshot import Snapshot
from mtquant.store.status import UnitError, UnitStatus, write_error
from mtquant.store.units import Unit, UnitSpec

FOREX = UnitSpec("phase1-forex", "phase1", "forex", {"g": "f"}, (), 1000)
EQUITY = UnitSpec("phase1-equity", "phase1", "equity", {"g": "e"}, (), 1000)


class Clock:
    """A clock that moves when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Story:
    """A run of two units, a view of it, and what the view has written."""

    def __init__(self, root, make):
        self.root, self.time, self.file = root, Clock(), io.StringIO()
        self.record = create_run(root, ["train"], {}, "direct").with_units((FOREX, EQUITY))
        save_run(root, self.record)
        self.units = [Unit(root, spec) for spec in (FOREX, EQUITY)]
        for unit in self.units:
            unit.create()
        self.view = make(Console(file=self.file, width=140, force_terminal=make is LiveView), self.time)

    def tick(self, seconds):
        self.time.now += seconds
        before = len(self.file.getvalue())
        self.view.tick()
        return self.file.getvalue()[before:]


def log(unit, attempt_started, *lines):
    for seconds, step, reward in lines:
        unit.journal.append(step, {"reward_per_step": reward}, attempt_started + seconds)


@pytest.fixture
def began(monkeypatch):
    """Return when attempts are taken to have begun."""
    monkeypatch.setattr(module, "_started", lambda folder, attempt: 1000.0 * attempt)
    return 1000.0


def test_plain_lines_come_at_changes_and_every_quarter_minute(tmp_path, began):
    story = Story(tmp_path, PlainView)
    forex = story.units[0]
    story.view.begin(Progress(tmp_path, story.record))
    assert story.file.getvalue() == ""
    with forex.lock():
        forex.begin_attempt()
        assert story.tick(1) == "> phase1-forex starting\n"
        log(forex, began, (1, 100, 0.5), (2, 200, 0.25))
        assert [story.tick(1) for _ in range(14)] == [""] * 14
        assert story.tick(1) == ("> phase1-forex 200 of 1,000 steps (20 %), 100 steps/s, 0:08 to go, reward 0.25\n")
        forex.finish({}, {})
    assert story.tick(1) == "+ phase1-forex done, reward 0.25\n"
    story.units[1].begin_attempt()
    write_error(story.units[1], UnitError(1, 7, "TrainingError", "diverged", False))
    story.view.finish()
    assert story.file.getvalue().endswith("x phase1-equity failed, diverged\n")


def test_a_tick_is_free_most_of_the_time(tmp_path):
    story = Story(tmp_path, PlainView)
    story.view.begin(Progress(tmp_path, story.record))
    story.units[0].begin_attempt()
    assert story.tick(0.4) == ""
    assert story.tick(0.2) != ""


def test_a_terminal_shows_bars_of_what_runs_and_lines_of_what_ended(tmp_path, began):
    story = Story(tmp_path, LiveView)
    forex = story.units[0]
    with forex.lock():
        forex.begin_attempt()
        story.view.begin(Progress(tmp_path, story.record))
        log(forex, began, (1, 100, 0.5), (2, 200, 0.25))
        shown = story.tick(1)
        assert "200/1,000" in shown
        assert "100/s" in shown
        forex.finish({}, {})
    assert "+ phase1-forex done" in story.tick(1)
    story.view.finish()


def test_programs_get_one_object_a_line(tmp_path, capsys, began):
    time = Clock()
    story = Story(tmp_path, PlainView)
    view = JsonView(time)
    with story.units[0].lock():
        story.units[0].begin_attempt()
        log(story.units[0], began, (1, 100, float("nan")))
        view.begin(Progress(tmp_path, story.record))
        time.now = 20.0
        view.tick()
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(e["event"], e["unit"], e["step"], e["reward"]) for e in events] == [
        ("progress", "phase1-forex", 100, None),
        ("progress", "phase1-forex", 100, None),
    ]


def test_speed_counts_only_the_present_attempt(tmp_path, began):
    story = Story(tmp_path, PlainView)
    forex, progress = story.units[0], Progress(tmp_path, story.record)
    with forex.lock():
        forex.begin_attempt()
        log(forex, began, (1, 100, 0.5), (2, 300, 0.5))
        assert progress.look()[1][0].rate == 200.0
        forex.checkpoints.save(300, Snapshot({}, {}), 1)
        forex.begin_attempt()
        log(forex, 2 * began, (1, 400, 0.5))
        assert progress.look()[1][0].rate is None, "one line says nothing about speed"
        log(forex, 2 * began, (5, 600, 0.5))
        found = progress.look()[1][0]
        assert (found.rate, found.eta) == (50.0, 8.0)
        assert found.checkpoint_age < 60


def test_waiting_units_have_a_row_and_finished_ones_none():
    def unit(state):
        return UnitProgress(UnitStatus(f"unit-{state}", state, 1, 10, None, 1, ""), None, None, None)

    console = Console(file=io.StringIO(), width=100)
    console.print(bars([unit("done"), unit("running"), unit("waiting"), unit("failed")], 100, 83.0))
    shown = console.file.getvalue()
    assert [name for name in ("done", "running", "waiting", "failed") if f"unit-{name}" in shown] == [
        "running",
        "waiting",
    ]
    assert shown.rstrip().endswith("1 of 4 done  1:23")


def test_a_unit_that_has_not_measured_yet_is_starting():
    status = UnitStatus("unit", "running", 0, 1000, None, 1, "")
    for reward, said in ((None, "starting"), (0.5, "0/1,000")):
        console = Console(file=io.StringIO(), width=100)
        console.print(bars([UnitProgress(status, None, reward, None)], 100, 0.0))
        assert said in console.file.getvalue()


def test_the_plan_is_summed_up(tmp_path):
    file = io.StringIO()
    states = ["reuse", "run", "continue", "run"]
    units = [PlannedUnit(FOREX, state, 640 if state == "continue" else 0, "because") for state in states]
    PlainView(Console(file=file, width=140)).plan(units, {"store": "here"})
    lines = file.getvalue().splitlines()
    assert lines[-2:] == ["plan: 1 to reuse, 1 to continue, 2 to run", "store: here"]
    assert lines[3].split()[:5] == ["phase1-forex", "continue", "at", "640", "360"]


def test_quiet_shows_results_only(tmp_path):
    story = Story(tmp_path, QuietView)
    story.view.plan([], {"store": "here"})
    story.view.begin(Progress(tmp_path, story.record))
    story.units[0].begin_attempt()
    assert story.tick(1) == ""
    story.view.finish()
    story.view.end({"report": "report.html"})
    assert story.file.getvalue() == "time: 0:01\nreport: report.html\n"


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.01234, "0.0123"), (6210, "6.2k"), (2.5e6, "2.5M"), (-5, "-5")]
)
def test_numbers_stay_short(value, shown):
    assert compact(value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(None, "-"), (46.4, "0:46"), (3723, "1:02:03")])
def test_durations(seconds, shown):
    assert clock(seconds) == shown
