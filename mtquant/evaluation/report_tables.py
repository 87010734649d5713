"""The tables and cards of the HTML report."""

from collections.abc import Sequence
from html import escape

from mtquant.evaluation import measures
from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.measures import MEASURES, Unit, label_of, measure_of
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.targets import FINAL, Judged, Verdict

CARD = ("annual_return", "annual_volatility", "max_drawdown", "win_rate", "utility", "var_compliance")
COMPARED = ("sharpe", "annual_return", "annual_volatility", "max_drawdown", "turnover", "cost_per_year")
PHASE_PAIRS = ("Phase 2 over 1", "Phase 3 over 2", "Phase 3 over 1")
COSTS = ("gross_per_year", "cost_per_year", "cost_share_of_gross", "turnover", "gross_exposure", "hit_rate")
ROBUSTNESS = (
    "sharpe_standard_error",
    "sortino",
    "calmar",
    "profit_factor",
    "sharpe.worst_pass",
    "sharpe.best_pass",
    "worst_year",
    "years_above_zero",
)
SPECIALIST = ("active", "risk_share", "sharpe", "annual_return", "budget")
LIMITS = (
    "var_compliance",
    "var_mean",
    "var_max",
    "var_exceeded",
    "var_exceeded_expected",
    "var_kupiec_p",
    "var_limit_exceeded",
    "correlation_exposure_mean",
    "correlation_exposure_max",
    "projection_share",
    "projection_mean",
    "stops_per_year",
    "breaker_share",
)
MARKS = {Verdict.MET: "good", Verdict.NOT_MET: "bad", Verdict.UNDECIDABLE: "open"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, note: str = "", words: bool = False) -> str:
    """Return a table that scrolls sideways on its own; cells are HTML, the first of each row is its heading.

    `words` sets cells as text rather than figures.
    """
    if not rows:
        return ""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    under = f'<p class="note">{note}</p>' if note else ""
    kind = "scroll words" if words else "scroll"
    return f'<div class="{kind}"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{under}'


def written(value: float, unit: Unit, *, sign: bool = False) -> str:
    """Return a number as HTML."""
    return escape(measures.written(value, unit, sign=sign))


def spanned(interval: Interval, unit: Unit, *, sign: bool = False) -> str:
    """Return the ends of an interval as HTML."""
    return escape(measures.spanned(interval, unit, sign=sign))


def chip(text: str, mark: str) -> str:
    """Return a verdict in words, coloured."""
    return f'<span class="chip {mark}">{escape(text)}</span>'


def with_interval(interval: Interval, unit: Unit, *, sign: bool = False) -> str:
    """Return a value with its interval under it."""
    return f"{written(interval.value, unit, sign=sign)}<small>{spanned(interval, unit, sign=sign)}</small>"


def figure_of(entry: Assessed, name: str) -> str:
    """Return a measure of `entry`, with its interval where it has one."""
    unit = measure_of(name).unit
    exact = name == "var_compliance"
    if name in entry.intervals and not exact:
        return with_interval(entry.intervals[name], unit)
    return written(entry.summary[name], unit) if name in entry.summary else "–"


def cards(content: ReportContent) -> str:
    """Return one card per phase: the Sharpe ratio large, the rest below."""
    out = []
    for entry in content.phases:
        found = entry.intervals["sharpe"]
        rows = "".join(
            f"<div><dt>{escape(_card_label(entry, name))}</dt><dd>{figure_of(entry, name)}</dd></div>" for name in CARD
        )
        note = f'<p class="note">{escape(entry.note)}</p>' if entry.note else ""
        out.append(
            f'<article class="card p{entry.phase}"><h3>{escape(entry.title)}</h3><p class="big">'
            f"{written(found.value, 'ratio')}<small>net Sharpe ratio, {spanned(found, 'ratio')}</small></p>"
            f"<dl>{rows}</dl>{note}</article>"
        )
    return f'<div class="cards">{"".join(out)}</div>'


def fold_table(content: ReportContent) -> str:
    """Return one row per fold of a walk-forward; nothing where there are none."""
    names = ("chosen", *(entry.name for entry in content.phases))
    rows = [
        (
            str(row.fold),
            escape(row.train),
            escape(row.validation),
            escape(row.test),
            f"phase {row.chosen}",
            *_gains(row.gains),
            *(written(row.sharpe[name], "ratio") for name in names),
        )
        for row in content.folds
    ]
    head = ("Fold", "Train", "Validation", "Test", "Chosen", *PHASE_PAIRS)
    note = (
        "Gains are those on validation, as certainty-equivalent return per year; they choose the phase. Sharpe ratios "
        "are those on test, which was opened once."
    )
    return table((*head, *(f"Sharpe ratio, {escape(n)}" for n in names)), rows, note=note) + _path_table(content)


def _gains(found: Sequence[Interval]) -> list[str]:
    """Return one cell per comparison; the last is empty where it was not needed."""
    told = [with_interval(gain, "percent", sign=True) for gain in found]
    return told + [""] * (len(PHASE_PAIRS) - len(told))


def _path_table(content: ReportContent) -> str:
    rows = [
        (escape(name), *(written(value, "ratio") for value in (min(found), sum(found) / len(found), max(found))))
        for name, found in content.paths.items()
    ]
    return table(("Sharpe ratio of the paths", "Lowest", "Mean", "Highest"), rows)


def skill_table(content: ReportContent) -> str:
    """Return what the Sharpe ratios say about skill, and what is left of the result after the search."""
    entries = (*((content.chosen,) if content.chosen else ()), *content.phases, *content.controls, *content.baselines)
    rows = [
        (
            escape(entry.short),
            written(entry.skill.sharpe, "ratio"),
            written(entry.skill.error, "ratio"),
            written(entry.skill.annualised, "ratio"),
            written(entry.skill.probability, "percent"),
            written(entry.skill.years_needed, "years"),
            written(entry.skill.trials_endured, "count"),
        )
        for entry in entries
    ]
    head = (
        "",
        "Sharpe ratio",
        "Standard error",
        "Annualised (Lo)",
        "Probability above zero",
        "Years needed",
        "Trials endured",
    )
    note = (
        "Each taken as the only trial. The error and the annualisation allow for autocorrelation. Years needed: the "
        "track record that tells such a ratio from zero at 95 %. Trials endured: the largest search of which this "
        "could be the best and still count as skill."
    )
    return (table(head, rows, note=note) if entries else "") + _superiority(content)


def _superiority(content: ReportContent) -> str:
    found = content.superiority
    if found is None or not found.confidence_set:
        return ""
    titles = {entry.name: entry.short for entry in (*content.phases, *content.baselines)}
    titles |= {content.chosen.name: content.chosen.short} if content.chosen else {}
    kept = ", ".join(escape(titles.get(name, name)) for name in found.confidence_set)
    return (
        '<p class="note">Test that no baseline is better (superior predictive ability, on daily utility): p = '
        f"{written(found.beaten_p, 'probability')}. Cannot be told from the best (90 % model confidence set): "
        f"{kept}.</p>"
    )


def _card_label(entry: Assessed, name: str) -> str:
    label = measure_of(name).label
    horizon = written(entry.summary["win_horizon_bars"], "count")
    return f"{label} ({horizon} bars)" if name == "win_rate" else label


def share_table(content: ReportContent) -> str:
    """Return utility beside reference, bound and previous."""
    rows = [
        (
            escape(row.title),
            with_interval(row.utility, "utility"),
            with_interval(row.share, "percent"),
            with_interval(row.captured, "percent") if row.captured is not None else "–",
            with_interval(row.bound, "percent") if row.bound is not None else "–",
            written(row.reference_utility, "utility"),
            written(row.bound_utility, "utility") if row.bound_utility is not None else "–",
        )
        for row in content.shares
    ]
    head = (
        "",
        "Utility per bar",
        "Share of reference",
        "Captured gain",
        "Share of full information",
        "Reference",
        "Full information",
    )
    note = (
        "Noise-free: positions taken on realised prices, paid with the expected return the generator knows, less "
        "risk and costs, in units of bar risk. Same episodes for policy and reference. A share above 100 % is "
        "possible where the reference is not an optimum."
    )
    return table(head, rows, note=note)


def promotion_table(content: ReportContent) -> str:
    """Return the paired differences between phases."""
    rows = []
    for p in content.promotions:
        mark = ("earned", "good") if p.earned else ("worse", "bad") if p.harmed else ("not shown", "open")
        pair = f"{escape(p.later)} <em>over</em> {escape(p.earlier)}"
        gains = (with_interval(p.gain, "percent", sign=True), with_interval(p.sharpe_gain, "ratio", sign=True))
        rows.append((pair, chip(*mark), *gains))
    note = (
        "Paired over the same days. Certainty-equivalent return is realised return less the risk penalty. A later "
        "phase is promoted only if the lower end of this interval is above zero."
    )
    return table(("", "Verdict", "Certainty-equivalent gain per year", "Sharpe gain"), rows, note=note)


def target_table(content: ReportContent) -> str:
    """Return the documents' table, measures by phases, each cell with what was measured and the verdict."""
    columns = list(dict.fromkeys(j.target.phase for j in content.targets))
    last = next((j.phase for j in content.targets if j.target.phase == FINAL), FINAL)
    columns.sort(key=lambda phase: (phase == FINAL, phase))
    rows = []
    for name in dict.fromkeys(j.target.measure for j in content.targets):
        found = {j.target.phase: j for j in content.targets if j.target.measure == name}
        cells = (_target_cell(found[phase]) if phase in found else "–" for phase in columns)
        rows.append((escape(measure_of(name).label), *cells))
    head = ("", *(f"Phase {p}" if p != FINAL else f"Target (phase {last})" for p in columns))
    note = (
        "Met or not met only where the whole interval lies on one side of the target; otherwise undecidable at this "
        "sample. Compliance before the fact is enforced by the risk layer; realised losses stand under risk limits."
    )
    return table(head, rows, note=note)


def _target_cell(judged: Judged) -> str:
    unit = measure_of(judged.target.measure).unit
    sign = {">": "&gt;", "<": "&lt;", ">=": "≥"}[judged.target.comparison]
    interval = judged.interval
    ends = "" if interval.low == interval.high else f"<small>{spanned(interval, unit)}</small>"
    return (
        f"{written(interval.value, unit)}{ends}<small>asked {sign} {written(judged.target.threshold, unit)}</small>"
        f"{chip(judged.verdict, MARKS[judged.verdict])}"
    )


def comparison_table(content: ReportContent) -> str:
    """Return phases, controls and baselines side by side, sorted by nothing: the order given."""
    entries = (*content.phases, *content.controls, *content.baselines)
    rows = []
    for entry in entries:
        name = f"<b>{escape(entry.title)}</b>" if entry.phase is not None else escape(entry.title)
        note = f"<small>{escape(entry.note)}</small>" if entry.note and entry.phase is None else ""
        rows.append((name + note, *(figure_of(entry, measure) for measure in COMPARED)))
    head = ("", *(escape(MEASURES[name].label) for name in COMPARED))
    return table(head, rows, note="Same account, costs, limits and bars. Baselines aim at one ex-ante volatility.")


def measures_table(content: ReportContent, names: Sequence[str]) -> str:
    """Return some measures, one column per phase."""
    rows = [
        (
            f"{escape(label_of(name))}<small>{escape(measure_of(name).definition)}</small>",
            *(figure_of(entry, name) for entry in content.phases),
        )
        for name in names
    ]
    return table(("", *(escape(e.short) for e in content.phases)), rows)


def grouped_table(content: ReportContent, head: str, suffixes: Sequence[str]) -> str:
    """Return measures of each specialist or instrument (`head`) of every phase that has them."""
    names: dict[str, list[Assessed]] = {}
    for entry in content.phases:
        for key in entry.summary:
            if key.startswith(f"{head}."):
                owners = names.setdefault(key.split(".", 1)[1].rpartition(".")[0], [])
                owners += [entry] if entry not in owners[-1:] else []
    rows = [
        (
            f"{escape(name)}<small>{escape(entry.short)}</small>",
            *(figure_of(entry, f"{head}.{name}.{suffix}") for suffix in suffixes),
        )
        for name, entries in names.items()
        for entry in entries
    ]
    labels = (escape(MEASURES[f"{head}.*.{suffix}"].label.capitalize()) for suffix in suffixes)
    return table(("", *labels), rows)


def everything_table(content: ReportContent) -> str:
    """Return every measure of every backtest."""
    entries = (*content.phases, *content.controls, *content.baselines)
    names = list(dict.fromkeys(name for entry in entries for name in entry.summary))
    rows = [
        (escape(label_of(n)), *(written(e.summary[n], measure_of(n).unit) if n in e.summary else "–" for e in entries))
        for n in names
    ]
    return table(("", *(escape(e.short) for e in entries)), rows)
