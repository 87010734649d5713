"""The best point of a curve is where the agent did best, whatever came after."""

import math

import pytest

from mtquant.store.journal import JournalLine
from mtquant.tracking.curves import Point, best_point, points


def line(step, **metrics):
    return JournalLine(step, step / 10, metrics)


def test_the_best_point_has_its_own_step_and_time():
    lines = [line(10, reward_per_step=0.1), line(20, reward_per_step=0.4), line(30, reward_per_step=0.3)]
    assert best_point(lines) == Point("best/reward_per_step", 0.4, 2000, 20)


def test_the_first_of_equals_is_the_best():
    assert best_point([line(10, utility_per_bar=0.4), line(20, utility_per_bar=0.4)]).step == 10


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_undefined_values_are_never_best(value):
    assert best_point([line(10, utility_per_bar=value)]) is None
    assert best_point([line(10, utility_per_bar=value), line(20, utility_per_bar=-3.0)]).value == -3.0


def test_a_journal_without_a_headline_has_no_best():
    assert best_point([]) is None
    assert best_point([line(10, policy_loss=1.0)]) is None


def test_undefined_values_leave_a_gap():
    found = points([line(10, loss=1.0, ratio=math.nan), line(20, loss=math.inf)])
    assert found == [Point("loss", 1.0, 1000, 10)]
