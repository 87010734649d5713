"""`report show` and `diff`: where a run's report is, that it failed, and what differs between two."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mtquant.cli import options
from mtquant.cli.output import console, write_json
from mtquant.context import Streams, store_root
from mtquant.errors import StoreError, UsageError
from mtquant.pipeline import REPORT
from mtquant.store.runs import RunRecord, load_run, run_folder, unit_of_run
from mtquant.store.status import run_status

report_app = typer.Typer(help="Reports: where they are, and what differs between two.", no_args_is_help=True)
RunA = Annotated[str, typer.Argument(metavar="A", help="Name of the run, or its beginning.")]
RunB = Annotated[str, typer.Argument(metavar="B", help="The run it is compared with.")]
SAMPLES = 2000
HEADLINE = ("sharpe", "annual_return", "annual_volatility", "max_drawdown", "utility", "turnover", "cost_per_year")


@report_app.command("show")
def report_show(run: options.Run = None, as_json: options.Json = False) -> None:
    """Say where the report of a run is and what it opens with; of a failed run, that it failed and why."""
    root = store_root()
    record = load_run(root, run)
    state = run_status(root, record).state
    if state == "done":
        path = report_of(root, record)
    elif state in ("failed", "dead"):
        path = failed_report(root, record)
    else:
        raise UsageError(
            f"The run {record.run_id} is {state}; it has no report yet. `mtquant status` shows how far it is."
        )
    found = _read(path.with_suffix(".json"))
    if as_json:
        write_json({"run": record.run_id, "state": state, "report": str(path.absolute()), "verdict": found["verdict"]})
        return
    out = console()
    verdict = found["verdict"]
    lines = [line["text"] for line in verdict] if isinstance(verdict, list) else [f"{verdict}: it has no result"]
    for line in (*lines, str(path.absolute())):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


@report_app.command("diff")
def report_diff(ours: RunA, theirs: RunB, as_json: options.Json = False) -> None:
    """Compare the results of two runs, over the same days in pairs where both traded the same."""
    root = store_root()
    records = [load_run(root, name) for name in (ours, theirs)]
    folders = [report_of(root, record).parent for record in records]
    reports = [_read(folder / "report.json") for folder in folders]
    figures = [_headline(report) for report in reports]
    paired = _paired(folders, reports)
    if as_json:
        values = [{name: value if math.isfinite(value) else None for name, value in found.items()} for found in figures]
        write_json({"a": records[0].run_id, "b": records[1].run_id, "results": values, "paired": paired})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", f"A {records[0].run_id}", f"B {records[1].run_id}", "B - A"):
        table.add_column(name, no_wrap=True, justify="left" if not name else "right")
    for name in HEADLINE:
        a, b = (found[name] for found in figures)
        table.add_row(name, f"{a:.4g}", f"{b:.4g}", f"{b - a:+.4g}")
    console().print(table)
    told = "They did not trade the same days, so no paired interval is given."
    if paired is not None:
        told = (
            f"Paired over the same days, B - A: certainty-equivalent return per year {paired['gain']['value']:+.4f} "
            f"({paired['gain']['low']:+.4f} to {paired['gain']['high']:+.4f}), Sharpe ratio "
            f"{paired['sharpe']['value']:+.3f} ({paired['sharpe']['low']:+.3f} to {paired['sharpe']['high']:+.3f})."
        )
    console().print(told, markup=False, highlight=False, soft_wrap=True)


def report_of(root: Path, record: RunRecord) -> Path:
    """Return `report.html` of a run. Raises `UsageError` where it has none."""
    if REPORT in record.units:
        unit = unit_of_run(root, record, REPORT)
        if unit.done() is not None:
            return unit.outputs / "report.html"
    raise UsageError(f"The run {record.run_id} has no report. `mtquant evaluate {record.run_id}` makes one.")


def failed_report(root: Path, record: RunRecord) -> Path:
    """Write what is left of a failed run into its folder and return the page, which says that it failed."""
    # matplotlib comes with it
    from mtquant.evaluation.report import write_failed

    folder = run_folder(root, record.run_id)
    units = [(unit.name, unit.state, unit.message) for unit in run_status(root, record).units]
    write_failed(folder, f"mtquant: run {record.run_id}", units)
    return folder / "report.html"


def forget_failure(root: Path, record: RunRecord) -> None:
    """Remove what `failed_report` wrote: the run has a result now."""
    for name in ("report.html", "report.json"):
        (run_folder(root, record.run_id) / name).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}. `mtquant resume` writes it again.") from error
    return found


def _headline(report: dict[str, Any]) -> dict[str, float]:
    summary = _result(report)["summary"]
    return {name: math.nan if summary[name] is None else float(summary[name]) for name in HEADLINE}


def _result(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["chosen"] or report["phases"][-1]
    return found


def _paired(folders: list[Path], reports: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the paired differences of the two results, B less A; None where the days differ."""
    from mtquant.evaluation.days import DAYS, paired_gains, read_days

    a, b = (read_days(folder / DAYS) for folder in folders)
    if not a.index.equals(b.index) or a.scale != b.scale:
        return None
    later, earlier = b.series[_result(reports[1])["name"]], a.series[_result(reports[0])["name"]]
    rng = Streams(0).rng("report", "diff")
    gain, sharpe = paired_gains(later, earlier, a.scale.unit_risk, a.scale.risk_free_rate, rng, samples=SAMPLES)
    return {"gain": asdict(gain), "sharpe": asdict(sharpe)}
