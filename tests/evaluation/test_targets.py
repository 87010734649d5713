"""Verdicts: only an interval that lies wholly on one side decides."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.targets import FINAL, Target, Verdict, documented_targets, judge

NUMBERS = st.floats(-10, 10)
COMPARISONS = {">": lambda a, b: a > b, "<": lambda a, b: a < b, ">=": lambda a, b: a >= b}


@given(st.sampled_from(sorted(COMPARISONS)), NUMBERS, NUMBERS, NUMBERS, st.floats(0, 1))
def test_a_verdict_holds_for_every_point_of_the_interval(
    comparison: str, threshold: float, one: float, other: float, part: float
) -> None:
    low, high = sorted((one, other))
    verdict = Target(1, "sharpe", comparison, threshold).verdict(Interval(low, low, high))  # type: ignore[arg-type]
    inside = min(high, max(low, low + part * (high - low)))
    met = [COMPARISONS[comparison](x, threshold) for x in (low, inside, high)]
    if verdict is Verdict.MET:
        assert all(met)
    elif verdict is Verdict.NOT_MET:
        assert not any(met)
    else:
        assert met[0] != met[2]


@given(NUMBERS)
def test_an_unknown_interval_decides_nothing(value: float) -> None:
    for comparison in COMPARISONS:
        target = Target(1, "sharpe", comparison, 0.0)  # type: ignore[arg-type]
        assert target.verdict(Interval(value)) is Verdict.UNDECIDABLE
        assert target.verdict(Interval(math.nan)) is Verdict.UNDECIDABLE


def test_the_table_is_the_documents() -> None:
    table = {(t.measure, t.phase): (t.comparison, t.threshold) for t in documented_targets()}
    rows = {
        "sharpe": (">", (1.5, 1.8, 2.0, 2.0)),
        "max_drawdown": ("<", (0.20, 0.18, 0.15, 0.15)),
        "win_rate": (">", (0.55, 0.60, 0.65, 0.60)),
    }
    for measure, (comparison, thresholds) in rows.items():
        for phase, threshold in zip((1, 2, 3, FINAL), thresholds, strict=True):
            assert table.pop((measure, phase)) == (comparison, threshold)
    assert table == {
        ("var_compliance", 2): (">", 0.95),
        ("var_compliance", 3): (">", 0.98),
        ("var_compliance", FINAL): (">=", 1.0),
    }


def test_settings_move_the_last_column_only() -> None:
    moved = set(documented_targets(1.1, 0.3)) ^ set(documented_targets())
    assert {t.phase for t in moved} == {FINAL}
    assert {(t.measure, t.threshold) for t in moved} == {
        ("sharpe", 1.1),
        ("sharpe", 2.0),
        ("max_drawdown", 0.3),
        ("max_drawdown", 0.15),
    }


def test_the_last_column_asks_the_last_phase_that_ran() -> None:
    interval = Interval(1.9, 1.85, 1.95)
    measured = dict.fromkeys(("sharpe", "max_drawdown", "win_rate", "var_compliance"), interval)
    judged = judge(documented_targets(), {1: measured, 2: measured})
    assert {j.phase for j in judged if j.target.phase == FINAL} == {2}
    assert {j.target.phase for j in judged} == {1, 2, FINAL}
    by_phase = {j.target.phase: j.verdict for j in judged if j.target.measure == "sharpe"}
    assert by_phase == {1: Verdict.MET, 2: Verdict.MET, FINAL: Verdict.NOT_MET}
    assert judge(documented_targets(), {}) == ()


def test_a_measure_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        judge(documented_targets(), {1: {"sharpe": Interval(1.0)}})
