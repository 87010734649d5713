"""A report with everything in it: every diagnosis has its table, its figure and its place in `report.json`."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from mtquant.evaluation.fan import equity_fan
from mtquant.evaluation.luck import Luck
from mtquant.evaluation.plots import draw
from mtquant.evaluation.report import TRIALS, render, report_values, write_failed, write_report
from mtquant.evaluation.report_text import luck_line, search_line, verdict_lines
from tests.evaluation.made import made_content, made_whole


@pytest.fixture(scope="module")
def whole():
    return made_whole()


def test_every_diagnosis_has_its_place(whole, tmp_path):
    digests = write_report(whole, tmp_path)
    page = (tmp_path / "report.html").read_text()
    text = re.sub(r"<[^>]*>", "", page)
    for heading in (
        "The folds",
        "Skill or luck",
        "Where the profit came from",
        "What moved the decisions",
        "Under other circumstances",
        "volatility x 3",
        "pandemic",
        "The profit is gone at 4.2 bp",
        "Sharpe ratio of the paths",
        "model confidence set",
    ):
        assert heading in text, heading
    assert {"fan", "rolling", "attribution", "costs", "calibration"} <= set(draw(whole))
    assert {f"plots/{name}.png" for name in ("fan", "attribution")} <= set(digests)
    assert len(page) < 1_500_000
    found = json.loads((tmp_path / "report.json").read_bytes())
    assert found["attribution"]["by_player"]["forex"] == pytest.approx(0.02)
    assert found["luck"]["percentile"] == 0.91
    assert [c["unit"] for c in found["curves"]] == [c.unit for c in whole.curves]
    assert found["curves"][0]["value"] == pytest.approx(whole.curves[0].value.tolist())
    assert found["folds"][0]["chosen"] == 3
    assert found["chosen"]["skill"]["trials"] == 1


def test_a_walk_forward_is_drawn_fold_after_fold(whole):
    """Paths are of combinations, whose tests overlap; without them the passes follow each other."""
    walk = replace(whole, paths={})
    assert walk.consecutive and not whole.consecutive
    page = render(walk, {name: drawn[0] for name, drawn in draw(walk).items()})
    assert "Equity net of costs, fold after fold" in page
    assert "years since the start" in draw(whole)["equity"][0]
    assert "years since the start" not in draw(walk)["equity"][0]


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_fold_is_about_the_phase_that_validation_chose(phase):
    content = made_content(3, planted=False)
    fold = replace(content, traded=phase, luck=Luck(1000, 0.91, 0.0, 0.7))
    assert fold.result is content.phases[phase - 1]
    lines = [line.text for line in verdict_lines(fold)]
    assert lines[0].startswith(f"Phase {phase} has")
    assert f"validation chose phase {phase}" in lines[1]
    assert any(line.startswith(f"Phase {phase} beats 91 %") for line in lines)
    assert report_values(fold)["traded"] == phase


def test_how_often_was_tried_is_told_and_kept_apart(whole, tmp_path):
    """The same training gives the same `report.json`, whatever else the store has seen."""
    with_search, without = (
        write_report(whole, tmp_path / "a"),
        write_report(replace(whole, search=None), tmp_path / "b"),
    )
    assert with_search == without
    trials = json.loads((tmp_path / "a" / TRIALS).read_bytes())
    assert trials["skill"]["trials"] == 12
    assert trials["overfitting"]["probability"] == 0.44
    assert not (tmp_path / "b" / TRIALS).exists()
    text = search_line(whole.search).text
    assert "one of 12 trials" in text and "44 %" in text
    assert text in [line.text for line in verdict_lines(whole)]
    assert text not in json.dumps(report_values(whole))


def test_luck_is_said_in_words(whole):
    assert "no evidence of skill" in luck_line(whole).text
    better = replace(whole, luck=Luck(1000, 0.97, 0.0, 0.7))
    assert "no evidence" not in luck_line(better).text
    assert luck_line(replace(whole, luck=Luck(10, math.nan, 0.0, 0.0))) is None


def test_a_plain_report_has_none_of_it():
    content = made_content(3)
    assert not {"fan", "attribution", "costs"} & set(draw(content))
    assert report_values(content)["attribution"] is None


def test_a_failed_run_has_a_report_that_says_so(tmp_path):
    write_failed(tmp_path, "mtquant: run X", [("phase2-meta", "failed", "Training <diverged>."), ("a", "done", "")])
    page = (tmp_path / "report.html").read_text()
    assert "This run failed" in page
    assert "Training &lt;diverged&gt;." in page
    assert json.loads((tmp_path / "report.json").read_bytes())["verdict"] == "failed"
    assert not re.search(r"https?://", page)


def test_a_fan_holds_what_it_was_made_from():
    rng = np.random.default_rng(1)
    returns = 0.01 * rng.standard_normal((2, 300))
    found = equity_fan(list(returns), rng, samples=300)
    assert found.own[-1] == pytest.approx(float(np.prod(1.0 + returns.ravel())))
    assert found.day[-1] == 600
    rows = np.array([found.quantiles[q] for q in ("0.05", "0.25", "0.5", "0.75", "0.95")])
    assert (np.diff(rows, axis=0) >= 0).all()
    assert rows[0, -1] < found.own[-1] < rows[-1, -1]
    assert equity_fan([returns[0, :10]], rng, samples=10) is None
