"""What a flow run leaves to read in Prefect: plan, results, summary, links."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from flows.embedded import HOME
from flows.progress import only_shown
from mtquant.cli.servers import MLFLOW_ADDRESS
from mtquant.errors import StoreError
from mtquant.execution.supervisor import Outcome
from mtquant.pipeline import ONNX, REPORT
from mtquant.store.runs import RunRecord, read_events, run_folder, unit_of_run
from mtquant.store.units import Done
from mtquant.tracking.location import tracking_uri, without_secrets
from mtquant.tracking.published import Published, read_published

MLFLOW_PAGE_VARIABLE = "MTQUANT_MLFLOW_PAGE"
"""Address of MLflow's page as a browser sees it, where that is not `MLFLOW_TRACKING_URI`."""
LOCAL_PAGE = "http://127.0.0.1:5000"
"""Where `mtquant ui` serves it unless told otherwise."""
SHOWN_METRICS = 3


def show_plan(root: Path, record: RunRecord) -> None:
    """Leave a table of what is to be done with each unit, and why."""
    prepared = [event for event in read_events(root, record.run_id) if event.get("event") == "prepared"]
    plan: Mapping[str, Sequence[str]] = prepared[-1]["plan"] if prepared else {}
    rows = [{"unit": name, "to do": state, "why": reason} for name, (state, reason) in plan.items()]
    with only_shown("the plan"):
        create_table_artifact(rows, "mtquant-plan", f"What run {record.run_id} has to do")


def show_results(root: Path, record: RunRecord, outcomes: Sequence[Outcome]) -> None:
    """Leave a table of how each node ended, the summary, and the links."""
    rows = [_row(outcome, _done(root, record, outcome.name)) for outcome in outcomes]
    with only_shown("the results"):
        create_table_artifact(rows, "mtquant-results", f"How the units of run {record.run_id} ended")
        create_markdown_artifact(summary(root, record, outcomes), "mtquant-summary", f"Run {record.run_id}")
    page = mlflow_page(root, record)
    if page is not None:
        with only_shown("the links"):
            create_link_artifact(page, f"MLflow run {record.run_id}", "mtquant-mlflow", _how_to_open())
            if _done(root, record, REPORT) is not None:
                create_link_artifact(f"{page}/artifacts/report/report.html", "report.html", "mtquant-report")


def _row(outcome: Outcome, done: Done | None) -> dict[str, Any]:
    metrics = list(done.metrics.items()) if done else []
    return {
        "unit": outcome.name,
        "state": outcome.state,
        "attempts": outcome.attempts or "",
        "seconds": round(done.wall_seconds, 1) if done else "",
        "result": ", ".join(f"{name} {value:.4g}" for name, value in metrics[:SHOWN_METRICS]),
        "message": outcome.message,
    }


def summary(root: Path, record: RunRecord, outcomes: Sequence[Outcome]) -> str:
    """Return the run in a page of Markdown: how it ended, what it measured, how to go on."""
    states = [outcome.state for outcome in outcomes]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    lines = [f"# Run {record.run_id}", "", f"{counts}.", ""]
    report, export = _done(root, record, REPORT), _done(root, record, ONNX)
    if report is not None:
        lines += [*_phases(report.metrics), ""]
    if any(state in ("failed", "stopped", "skipped") for state in states):
        lines += [f"Continue exactly with `mtquant resume {record.run_id}`.", ""]
    lines += [f"- Store: `{root.absolute()}`", f"- Asked for by: `{' '.join(record.command)}`"]
    for name, done, path in ((REPORT, report, "report.html"), (ONNX, export, ".")):
        if done is not None:
            lines.append(f"- {name}: `{(unit_of_run(root, record, name).outputs / path).absolute()}`")
    return "\n".join(lines)


def _phases(metrics: Mapping[str, float]) -> list[str]:
    """Return the out-of-sample figures of each phase as a table."""
    lines = ["| out of sample | Sharpe (95 %) | max drawdown | utility |", "| --- | --- | --- | --- |"]
    for phase in ("phase1", "phase2", "phase3"):
        found = {name: metrics.get(f"{phase}/{name}") for name in ("sharpe", "sharpe_low", "sharpe_high")}
        drawdown, utility = metrics.get(f"{phase}/max_drawdown"), metrics.get(f"{phase}/utility")
        if None not in found.values() and drawdown is not None and utility is not None:
            low, high = found["sharpe_low"], found["sharpe_high"]
            sharpe = f"{found['sharpe']:.2f} ({low:.2f} to {high:.2f})"
            lines.append(f"| {phase} | {sharpe} | {drawdown:.1%} | {utility:.4g} |")
    return lines


def mlflow_page(root: Path, record: RunRecord) -> str | None:
    """Return the address of the run's page in MLflow, or None where nothing is published yet."""
    uri = tracking_uri(root)
    found: Published | None = read_published(run_folder(root, record.run_id), uri)
    if found is None:
        return None
    base = os.environ.get(MLFLOW_PAGE_VARIABLE) or (
        without_secrets(uri) if uri.startswith("http") else _local_page(root)
    )
    return f"{base.rstrip('/')}/#/experiments/{found.experiment_id}/runs/{found.run_id}"


def _local_page(root: Path) -> str:
    try:
        return (root / HOME / MLFLOW_ADDRESS).read_text().strip()
    except OSError:
        return LOCAL_PAGE


def _how_to_open() -> str:
    return "Curves, reports and models of the run. On one machine `mtquant ui` serves the page."


def _done(root: Path, record: RunRecord, name: str) -> Done | None:
    if name not in record.units:
        return None
    try:
        return unit_of_run(root, record, name).done()
    except StoreError:
        return None
