"""`write_report`: one self-contained page for people, the same figures as JSON for programs, the plots as PNG.

Nothing in `report.json` and the plots depends on the run's name, time or machine, so their digests are
deterministic; the page also names the run and its command.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from mtquant.evaluation import diagnosis_tables as diagnoses
from mtquant.evaluation import report_tables as tables
from mtquant.evaluation.charts import charts_of
from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.drawing import DARK, LIGHT
from mtquant.evaluation.live import read, scripts
from mtquant.evaluation.plots import captions, draw
from mtquant.evaluation.report_cells import chip, marked, pointer, table, words
from mtquant.evaluation.report_text import honest_statements, market_sentence, search_line, verdict_lines
from mtquant.evaluation.trials import Search
from mtquant.store.digests import canonical_json, digest_bytes
from mtquant.store.files import make_folder, write_atomic

TRIALS = "trials.json"
UNIT_MARKS = {"done": "good", "failed": "bad", "damaged": "bad", "dead": "bad"}
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
        write_atomic(folder / TRIALS, canonical_json(_search(content.search)))
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
    rows = [(escape(name), chip(state, UNIT_MARKS.get(state, "open")), words(told)) for name, state, told in units]
    lead = "This run failed. It has no result; whatever its units measured before is not one."
    page = (
        f'{_head(title)}<header><h1>{escape(title)}</h1><ul class="verdict"><li class="bad">Failed</li></ul>'
        f'<p class="lead">{lead}</p></header><main><section><h2>Units</h2>'
        f"{table(('Unit', 'State', 'What happened'), rows, words=True)}</section></main></body></html>\n"
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
        "path_range": _json(tables.path_range(content)),
        "attribution_sums": _json(diagnoses.summed(content.attribution)) if content.attribution else None,
        "market_sentence": market_sentence(content),
        "charts": {name: chart.values() for name, chart in charts_of(content).items()},
        "traded": content.traded,
        "chosen": entries((content.chosen,))[0] if content.chosen else None,
        "folds": _json(content.folds),
        "paths": _json(content.paths),
        "attribution": _json(content.attribution),
        "moved": _json(content.moved),
        "robustness": _json(content.robustness),
        "fan": _json(content.fan),
        "luck": _json(content.luck),
        "superiority": _json(content.superiority),
        "seed": content.seed,
    }


def render(content: ReportContent, drawings: Mapping[str, str]) -> str:
    """Return the page; `drawings` maps figure name to inline SVG."""
    verdict = "".join(f'<li class="{tone}">{marked(text, at)}</li>' for tone, text, at in _verdict(content))
    sections = "".join(
        f'<section id="{key}"><h2>{title}</h2>{body}</section>'
        for key, title, body in _sections(content, drawings)
        if body
    )
    lead = marked(market_sentence(content), pointer("market_sentence"))
    seed = "" if content.seed is None else f" · seed {content.seed}"
    return (
        f"{_head(content.title)}<header><h1>{escape(content.title)}</h1>"
        f'<p class="tag">run {escape(content.run_id)}{seed}</p>'
        f'<ul class="verdict">{verdict}</ul>'
        f'<p class="lead">{lead}</p></header>'
        f"<main>{sections}</main><footer></footer>{scripts(charts_of(content))}</body></html>\n"
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
        ("plots", "Plots", _plots(drawings, captions(content), charts_of(content))),
        ("alarms", "Alarms during training", _items(content.alarms, "alarms")),
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
        ("decisions", "What moved the decisions", diagnoses.moved_table(content)),
        ("stress", "Under other circumstances", diagnoses.robustness_tables(content)),
        ("limits", "Risk limits", tables.measures_table(content, tables.LIMITS)),
        ("instruments", "Instruments", tables.grouped_table(content, "instrument", ("sharpe", "annual_return"))),
        ("honest", "Before believing this", _items(honest_statements(content), "statements")),
        ("data", "Data", _data(content)),
        ("reproduce", "Reproduce", f"<pre>{escape(content.command)}</pre>"),
        (
            "everything",
            "Every measure",
            f"<details><summary>All measures of all backtests</summary>{everything}</details>" if everything else "",
        ),
    ]


def _plots(drawings: Mapping[str, str], told: Mapping[str, str], charts: Container[str]) -> str:
    """Return all figures; those of which there is a chart can be drawn over."""
    figures = "".join(
        f"<figure{_live(name, charts)}><figcaption>{escape(told[name])}</figcaption>{svg}</figure>"
        for name, svg in drawings.items()
    )
    return f'<div class="plots">{figures}</div>' if figures else ""


def _live(name: str, charts: Container[str]) -> str:
    return f' data-chart="{name}"' if name in charts else ""


def _verdict(content: ReportContent) -> list[tuple[str, str, str]]:
    """Return (tone, text, where it stands); what follows from the trials stands in `trials.json`."""
    searched = None if content.search is None else search_line(content.search).text
    out, number = [], 0
    for line in verdict_lines(content):
        if line.text == searched:
            out.append((str(line.tone), line.text, pointer("search", "sentence")))
            continue
        out.append((str(line.tone), line.text, pointer("verdict", number, "text")))
        number += 1
    return out


def _items(lines: Sequence[str], at: str) -> str:
    items = "".join(f"<li>{marked(line, pointer(at, n))}</li>" for n, line in enumerate(lines))
    return f'<ul class="plain">{items}</ul>' if lines else ""


def _data(content: ReportContent) -> str:
    market = content.market
    rows = [
        (escape(symbol), marked(line, pointer("market", "provenance", symbol)))
        for symbol, line in market.provenance.items()
    ]
    warnings = "".join(
        f"<li>Warning: {marked(line, pointer('market', 'warnings', n))}</li>" for n, line in enumerate(market.warnings)
    )
    sources = table(("", "Where the bars came from"), rows, words=True)
    return f'<ul class="plain"><li>Source: {marked(market.source, "/market/source")}</li>{warnings}</ul>{sources}'


def _style() -> str:
    def variables(colours: Mapping[str, str]) -> str:
        return "".join(f"--{name}:{value};" for name, value in colours.items())

    light, dark = variables(LIGHT_PAGE | LIGHT), variables(DARK_PAGE | DARK)
    sheet = read("report.css").decode()
    return (
        f":root{{{light}{variables(FONTS)}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{sheet}"
    )


def _search(found: Search) -> Any:
    return _json(found) | {"sentence": search_line(found).text}


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
