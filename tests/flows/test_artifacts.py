"""What a flow run leaves to read: words and addresses, from the store alone."""

import pytest

from flows import artifacts
from mtquant.execution.supervisor import Outcome
from mtquant.store.runs import append_event, create_run, run_folder, save_run, unit_of_run
from mtquant.store.units import Unit, UnitSpec
from mtquant.tracking.location import tracking_uri
from mtquant.tracking.published import Published, write_published

MEASURED = {"max_drawdown": 0.05, "sharpe": 0.7, "sharpe_high": 1.2, "sharpe_low": 0.1, "utility": 0.004}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return the store and a run whose evaluation is complete and whose export is not."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(artifacts.MLFLOW_PAGE_VARIABLE, raising=False)
    record = create_run(tmp_path, ["mtquant", "train", "--seed", "3"], {}, "prefect")
    units = [
        UnitSpec("evaluate-report", "evaluate", "report", {"kind": "evaluate"}),
        UnitSpec("export-onnx", "export", "onnx", {"kind": "export"}),
    ]
    for unit in units:
        Unit(tmp_path, unit).create()
    record = record.with_units(units)
    save_run(tmp_path, record)
    report = unit_of_run(tmp_path, record, "evaluate-report")
    report.begin_attempt()
    metrics = {f"phase{n}/{name}": value * n for n in (1, 2, 3) for name, value in MEASURED.items()}
    report.finish(metrics, {}, wall_seconds=12.34)
    return tmp_path, record


OUTCOMES = [
    Outcome("evaluate-report", "done", 0, "", 1),
    Outcome("export-onnx", "failed", 7, "no space left", 2),
    Outcome("register", "skipped", 0, "needs export-onnx"),
]


def test_the_summary_says_how_it_ended_what_was_measured_and_how_to_go_on(run):
    root, record = run
    text = artifacts.summary(root, record, OUTCOMES)
    assert "1 done, 1 failed, 1 skipped." in text
    assert "| phase2 | 1.40 (0.20 to 2.40) | 10.0% | 0.008 |" in text
    assert f"`mtquant resume {record.run_id}`" in text
    assert "`mtquant train --seed 3`" in text
    assert str(unit_of_run(root, record, "evaluate-report").outputs / "report.html") in text
    assert "onnx:" not in text, "what is not complete has no place to look at"


def test_a_complete_run_is_not_told_to_resume(run):
    assert "resume" not in artifacts.summary(*run, OUTCOMES[:1])


def test_the_tables(run, monkeypatch):
    root, record = run
    append_event(root, record.run_id, "prepared", plan={"evaluate-report": ["run", "new"]})
    append_event(root, record.run_id, "prepared", plan={"evaluate-report": ["reuse", "finished"]})
    tables, links = {}, {}
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda rows, key, text: tables.update({key: rows}))
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda *_: None)
    monkeypatch.setattr(artifacts, "create_link_artifact", lambda link, *rest: links.update({rest[1]: link}))
    artifacts.show_plan(root, record)
    artifacts.show_results(root, record, OUTCOMES)
    assert tables["mtquant-plan"] == [{"unit": "evaluate-report", "to do": "reuse", "why": "finished"}]
    done, failed, skipped = tables["mtquant-results"]
    assert (done["state"], done["seconds"]) == ("done", 12.3)
    assert done["result"].startswith("phase1/max_drawdown 0.05")
    assert (failed["attempts"], failed["message"]) == (2, "no space left")
    assert (skipped["attempts"], skipped["result"]) == ("", "")
    assert links == {}, "nothing is published yet"
    write_published(run_folder(root, record.run_id), tracking_uri(root), Published("4", "abc"))
    artifacts.show_results(root, record, OUTCOMES)
    assert links["mtquant-mlflow"].endswith("/#/experiments/4/runs/abc")
    assert links["mtquant-report"].endswith("/#/experiments/4/runs/abc/artifacts/report/report.html")


def test_where_mlflow_s_page_is(run, monkeypatch):
    root, record = run
    assert artifacts.mlflow_page(root, record) is None

    def base():
        write_published(run_folder(root, record.run_id), tracking_uri(root), Published("4", "abc"))
        return artifacts.mlflow_page(root, record).partition("/#/")[0]

    assert base() == "http://127.0.0.1:5000"
    (root / "prefect").mkdir()
    (root / "prefect" / "mlflow.url").write_text("http://127.0.0.1:5811")
    assert base() == "http://127.0.0.1:5811"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@mlflow:5000/")
    assert base() == "http://mlflow:5000"
    monkeypatch.setenv(artifacts.MLFLOW_PAGE_VARIABLE, "http://localhost:5000/")
    assert base() == "http://localhost:5000"
