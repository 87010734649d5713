"""The bars: one artifact per unit, updated in place, never moved back, never in the way of training."""

import threading
from uuid import UUID, uuid4

import pytest
from httpx import ConnectError

from flows import progress
from mtquant.store.units import Unit, UnitSpec
from tests.flows.conftest import wait_for


class Shown:
    """Stands in for Prefect: remembers what was created and where it was moved to."""

    def __init__(self):
        self.created: list[tuple[UUID, float, str, str]] = []
        self.moves: list[tuple[UUID, float, str]] = []
        self.refuses = False
        self.moved = threading.Event()

    def create(self, percent, key, description):
        self._answer()
        self.created.append((uuid4(), percent, key, description))
        return self.created[-1][0]

    def update(self, artifact, percent, description):
        self._answer()
        self.moves.append((artifact, percent, description))
        self.moved.set()

    def _answer(self):
        if self.refuses:
            raise ConnectError("refused")


@pytest.fixture
def shown(monkeypatch):
    stub = Shown()
    monkeypatch.setattr(progress, "create_progress_artifact", stub.create)
    monkeypatch.setattr(progress, "update_progress_artifact", stub.update)
    return stub


@pytest.fixture
def unit(tmp_path):
    unit = Unit(tmp_path, UnitSpec("phase1-forex", "phase1", "forex", {}, (), 200))
    unit.create()
    return unit


def test_a_bar_is_created_once_and_moved_with_the_journal(shown, unit):
    bars = progress.ProgressBars(seconds=0.01)
    with bars.moving(), bars.of(unit):
        unit.begin_attempt()
        unit.journal.append(50, {"reward_per_step": 0.125})
        wait_for(lambda: any(percent == 25.0 for _, percent, _ in shown.moves))
        unit.journal.append(200, {"reward_per_step": 0.25})
    ((bar, percent, key, _),) = shown.created
    assert (percent, key) == (0.0, "progress-phase1-forex")
    assert {moved for moved, _, _ in shown.moves} == {bar}
    assert shown.moves[-1][1] == 100.0
    assert "step 200 of 200; reward_per_step 0.25" in shown.moves[-1][2]


def test_nothing_moves_after_the_last_position(shown, unit):
    bars = progress.ProgressBars(seconds=0.01)
    with bars.moving():
        with bars.of(unit):
            pass
        count = len(shown.moves)
        shown.moved.clear()
        assert not shown.moved.wait(0.1)
    assert len(shown.moves) == count == 1


def test_a_server_that_is_gone_is_said_and_does_not_stop_the_unit(shown, unit, caplog):
    shown.refuses = True
    bars = progress.ProgressBars(seconds=0.01)
    done = False
    with bars.moving(), bars.of(unit):
        done = True
    assert done
    assert "does not show the bar of phase1-forex: ConnectError" in caplog.text


def test_what_the_unit_raises_is_not_hidden(shown, unit):
    with pytest.raises(ZeroDivisionError), progress.ProgressBars().of(unit):
        raise ZeroDivisionError
    assert len(shown.moves) == 1


def test_damage_to_a_journal_is_the_unit_s_business(shown, unit, caplog):
    unit.journal.path.write_text("{broken}\n")
    with progress.ProgressBars().of(unit):
        pass
    assert "StoreError" in caplog.text
    assert not shown.created
