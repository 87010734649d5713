"""`write_report`: one self-contained page for people, the same figures as JSON for programs, the plots as PNG.

Nothing in `report.json` and the plots depends on the run's name, time or machine, so their digests are
deterministic; the page also names the run and its command.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from mtquant.evaluation import diagnosis_tables as diagnoses
from mtquant.evaluation import report_tables as tables
from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.drawing import DARK, LIGHT
from mtquant.evaluation.plots import draw
from mtquant.evaluation.report_text import honest_statements, market_sentence, verdict_lines
from mtquant.store.digests import canonical_json, digest_bytes
from mtquant.store.files import make_folder, write_atomic

TRIALS = "trials.json"
UNIT_MARKS = {"done": "good", "failed": "bad", "damaged": "bad", "dead": "bad"}
CAPTIONS = {
    "sharpe": "Net Sharpe ratio and its interval",
    "share": "Noise-free utility beside what is possible",
    "equity": "Equity net of costs, mean over passes",
    "drawdown": "Drawdown, deepest pass at each bar",
    "fan": "What a path like this one could have become: quantiles of resampled equity",
    "rolling": "Net Sharpe ratio of the last half year",
    "attribution": "Where the profit came from",
    "costs": "Net return a year by cost",
    "calibration": "Value at risk: days that lost more, said and seen",
    "exposure": "Exposure by group, risk units, first pass",
    "allocation": "Budgets of the meta-controller, first pass",
    "learning": "Learning curves",
}
CONSECUTIVE = {
    "equity": "Equity net of costs, fold after fold",
    "drawdown": "Drawdown, fold after fold",
    "exposure": "Exposure by group, risk units",
    "allocation": "Budgets of the meta-controller",
    "learning": "Learning curves, mean over folds",
}
"""Captions where the passes follow each other in time."""
LIGHT_PAGE = {"page": "#f6f7f9", "panel": "#ffffff"}
DARK_PAGE = {"page": "#14181d", "panel": "#1b2027"}
FONTS = {
    "font": 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
    "mono": 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace',
}


def write_report(content: ReportContent, folder: Path) -> dict[str, str]:
    """Write `report.html`, `report.json` and `plots/*.png`; return the digests of the deterministic ones.

    Raises `StoreError` where the folder cannot be written.
    """
    drawings = draw(content)
    make_folder(folder / "plots")
    data = canonical_json(report_values(content))
    digests = {"report.json": digest_bytes(data)}
    if content.search is not None:
        # what was tried before depends on the store and not on the settings: no digest of it
        write_atomic(folder / TRIALS, canonical_json(_json(content.search)))
    for name, (_, png) in drawings.items():
        write_atomic(folder / "plots" / f"{name}.png", png)
        digests[f"plots/{name}.png"] = digest_bytes(png)
    page = render(content, {name: svg for name, (svg, _) in drawings.items()})
    write_atomic(folder / "report.html", page.encode())
    write_atomic(folder / "report.json", data)
    return digests


def write_failed(folder: Path, title: str, units: Sequence[tuple[str, str, str]]) -> None:
    """Write the report of a run that has no result: `report.html` and `report.json`, which say that it failed.

    `units` are name, state and message of every unit.
    """
    rows = [
        (escape(name), tables.chip(state, UNIT_MARKS.get(state, "open")), _words(told)) for name, state, told in units
    ]
    lead = "This run failed. It has no result; whatever its units measured before is not one."
    page = (
        f'{_head(title)}<header><h1>{escape(title)}</h1><ul class="verdict"><li class="bad">Failed</li></ul>'
        f'<p class="lead">{lead}</p></header><main><section><h2>Units</h2>'
        f"{tables.table(('Unit', 'State', 'What happened'), rows, words=True)}</section></main></body></html>\n"
    )
    named = [dict(zip(("name", "state", "message"), unit, strict=True)) for unit in units]
    write_atomic(folder / "report.json", canonical_json({"title": title, "verdict": "failed", "units": named}))
    write_atomic(folder / "report.html", page.encode())


def report_values(content: ReportContent) -> dict[str, Any]:
    """Return every figure of `content` as JSON values; NaN is null. Run, command and search are left out."""

    content = replace(content, search=None)

    def entries(found: tuple[Assessed, ...]) -> list[Any]:
        kept = ("name", "title", "phase", "note", "summary", "intervals", "skill")
        return [{key: _json(getattr(entry, key)) for key in kept} for entry in found]

    return {
        "title": content.title,
        "market": _json(content.market),
        "verdict": [_json(line) for line in verdict_lines(content)],
        "phases": entries(content.phases),
        "controls": entries(content.controls),
        "baselines": entries(content.baselines),
        "shares": _json(content.shares),
        "promotions": [{**_json(p), "earned": p.earned} for p in content.promotions],
        "targets": [{**_json(j), "verdict": str(j.verdict)} for j in content.targets],
        "statements": honest_statements(content),
        "alarms": list(content.alarms),
        "curves": [
            {"unit": c.unit, "metric": c.metric, "step": c.step.tolist(), "value": _json(c.value.tolist())}
            for c in content.curves
        ],
        "traded": content.traded,
        "chosen": entries((content.chosen,))[0] if content.chosen else None,
        "folds": _json(content.folds),
        "paths": _json(content.paths),
        "attribution": _json(content.attribution),
        "robustness": _json(content.robustness),
        "fan": _json(content.fan),
        "luck": _json(content.luck),
        "superiority": _json(content.superiority),
        "seed": content.seed,
    }


def render(content: ReportContent, drawings: Mapping[str, str]) -> str:
    """Return the page; `drawings` maps figure name to inline SVG."""
    verdict = "".join(f'<li class="{line.tone}">{_words(line.text)}</li>' for line in verdict_lines(content))
    sections = "".join(
        f'<section id="{key}"><h2>{title}</h2>{body}</section>'
        for key, title, body in _sections(content, drawings)
        if body
    )
    seed = "" if content.seed is None else f" · seed {content.seed}"
    return (
        f"{_head(content.title)}<header><h1>{escape(content.title)}</h1>"
        f'<p class="tag">run {escape(content.run_id)}{seed}</p>'
        f'<ul class="verdict">{verdict}</ul>'
        f'<p class="lead">{_words(market_sentence(content))}</p></header>'
        f"<main>{sections}</main><footer></footer></body></html>\n"
    )


def _head(title: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head><body>"
    )


def _sections(content: ReportContent, drawings: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (id, title, HTML) in the order of reading; an empty body leaves the section out."""
    known = any("allocation_efficiency" in entry.summary for entry in content.phases)
    allocation = ("allocation_efficiency", "allocation_gain") if known else ()
    everything = tables.everything_table(content)
    return [
        ("targets", "The documents' targets", tables.target_table(content)),
        ("phases", "The phases, out of sample", tables.cards(content) if content.phases else ""),
        ("optimum", "Share of the optimum", tables.share_table(content) if content.shares else ""),
        ("promotions", "Did each phase earn its place?", tables.promotion_table(content)),
        ("plots", "Plots", _plots(drawings, CAPTIONS | CONSECUTIVE if content.consecutive else CAPTIONS)),
        ("alarms", "Alarms during training", _items(list(content.alarms))),
        ("folds", "The folds", tables.fold_table(content)),
        ("skill", "Skill or luck", tables.skill_table(content)),
        ("baselines", "Beside the baselines", tables.comparison_table(content) if content.baselines else ""),
        (
            "specialists",
            "Specialists and allocation",
            tables.measures_table(content, (*allocation, "specialists_effective"))
            + tables.grouped_table(content, "specialist", tables.SPECIALIST),
        ),
        ("robustness", "Risk-adjusted returns and robustness", tables.measures_table(content, tables.ROBUSTNESS)),
        ("costs", "Costs and trading", tables.measures_table(content, tables.COSTS)),
        ("attribution", "Where the profit came from", diagnoses.attribution_tables(content)),
        ("stress", "Under other circumstances", diagnoses.robustness_tables(content)),
        ("limits", "Risk limits", tables.measures_table(content, tables.LIMITS)),
        ("instruments", "Instruments", tables.grouped_table(content, "instrument", ("sharpe", "annual_return"))),
        ("honest", "Before believing this", _items(honest_statements(content))),
        ("data", "Data", _data(content)),
        ("reproduce", "Reproduce", f"<pre>{escape(content.command)}</pre>"),
        (
            "everything",
            "Every measure",
            f"<details><summary>All measures of all backtests</summary>{everything}</details>" if everything else "",
        ),
    ]


def _plots(drawings: Mapping[str, str], captions: Mapping[str, str]) -> str:
    figures = "".join(
        f"<figure><figcaption>{escape(captions[name])}</figcaption>{svg}</figure>" for name, svg in drawings.items()
    )
    return f'<div class="plots">{figures}</div>' if figures else ""


def _items(lines: list[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{_words(line)}</li>" for line in lines)}</ul>' if lines else ""


def _words(text: str) -> str:
    """Return a sentence as HTML in which no percent sign stands alone on a line."""
    return escape(text).replace(" %", "&nbsp;%")


def _data(content: ReportContent) -> str:
    market = content.market
    rows = [(escape(symbol), escape(line)) for symbol, line in market.provenance.items()]
    warnings = [f"Warning: {line}" for line in market.warnings]
    sources = tables.table(("", "Where the bars came from"), rows, words=True)
    return _items([f"Source: {market.source}", *warnings]) + sources


def _style() -> str:
    def variables(colours: Mapping[str, str]) -> str:
        return "".join(f"--{name}:{value};" for name, value in colours.items())

    light, dark = variables(LIGHT_PAGE | LIGHT), variables(DARK_PAGE | DARK)
    sheet = resources.files("mtquant.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    return (
        f":root{{{light}{variables(FONTS)}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{sheet}"
    )


def _json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return _json(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    return value
