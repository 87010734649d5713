"""`report` and `evaluate` by date: a failed run says failed, and what was trained on is not evaluated."""

import json

import pytest

from mtquant.evaluation.days import DAYS
from mtquant.store.runs import load_run, run_folder, unit_of_run
from tests.cli.conftest import SMALL
from tests.execution.finished import finished_run

SUMMARY = dict.fromkeys(
    ("sharpe", "annual_return", "annual_volatility", "max_drawdown", "utility", "turnover", "cost_per_year"), 0.5
)


def test_a_report_of_a_failed_run_says_failed(cli):
    (cli.root / "fail-phase2-meta").touch()
    ended = cli("train", *SMALL)
    assert ended.code == 7
    folder = run_folder(cli.root, load_run(cli.root).run_id)
    assert str(folder / "report.html") in ended.err
    page, values = (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())
    assert values["verdict"] == "failed"
    assert "This run failed" in page and "Training diverged" in page
    states = {unit["name"]: unit["state"] for unit in values["units"]}
    assert states["phase2-meta"] == "failed" and states["phase1-forex"] == "done"
    shown = cli("report", "show")
    assert shown.code == 0 and shown.out.startswith("failed: it has no result")
    assert json.loads(cli("report", "show", "--json").out)["state"] == "failed"


def test_a_run_that_succeeds_later_is_not_called_failed(cli):
    (cli.root / "fail-phase2-meta").touch()
    assert cli("train", *SMALL).code == 7
    (cli.root / "fail-phase2-meta").unlink()
    assert cli("resume").code == 0
    assert not (run_folder(cli.root, load_run(cli.root).run_id) / "report.html").exists()
    ended = cli("report", "show")
    assert ended.code == 9, "toys write no report.json"


def test_a_run_without_a_report_says_what_to_do(finished):
    ended = finished("report", "diff", load_run(finished.root).run_id, "nothing")
    assert ended.code == 2
    started = finished("evaluate", "--from", "1800-01-01", "--to", "1801-01-01")
    assert started.code == 4 and "no bars from 1800-01-01" in started.err
    assert finished("evaluate", "--from", "tomorrow").code == 2


def test_what_was_trained_on_is_not_evaluated(finished):
    ended = finished("evaluate", "--from", "1900-01-01")
    assert ended.code == 4
    assert "belong to the train split, which the policies have seen" in ended.err


def reported(root, **changes):
    """Return a finished run whose evaluation left a report."""
    record = finished_run(root, **changes)
    outputs = unit_of_run(root, record, "evaluate-report").outputs
    phases = [{"name": "phase3", "summary": SUMMARY}]
    (outputs / "report.json").write_text(json.dumps({"chosen": None, "phases": phases, "verdict": []}))
    return record.run_id


@pytest.mark.parametrize(("bars", "paired"), [(300, True), (200, False)])
def test_two_reports_are_compared_over_the_same_days(cli, bars, paired):
    a, b = reported(cli.root, seed=1), reported(cli.root, seed=2, bars=bars)
    ended = cli("report", "diff", a, b)
    assert ended.code == 0, ended.err
    assert ("Paired over the same days" in ended.out) is paired
    found = json.loads(cli("report", "diff", a, b, "--json").out)
    assert found["results"][0]["sharpe"] == 0.5
    assert (found["paired"] is not None) is paired
    assert (unit_of_run(cli.root, load_run(cli.root, a), "evaluate-report").outputs / DAYS).is_file()
