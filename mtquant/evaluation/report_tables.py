"""The tables and cards of the HTML report."""

from collections.abc import Sequence
from html import escape

from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.measures import MEASURES, Unit, label_of, measure_of
from mtquant.evaluation.report_cells import (
    chip,
    figure_of,
    marked,
    places,
    pointer,
    spanned,
    table,
    with_interval,
    written,
)
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
SKILL: dict[str, Unit] = {
    "sharpe": "ratio",
    "error": "ratio",
    "annualised": "ratio",
    "probability": "percent",
    "years_needed": "years",
    "trials_endured": "count",
}
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


def cards(content: ReportContent) -> str:
    """Return one card per phase: the Sharpe ratio large, the rest below."""
    out, place = [], places(content)
    for entry in content.phases:
        at = place[entry.name]
        found, ratio = entry.intervals["sharpe"], at + pointer("intervals", "sharpe")
        rows = "".join(
            f"<div><dt>{_card_label(entry, name, at)}</dt><dd>{figure_of(entry, name, at)}</dd></div>" for name in CARD
        )
        note = f'<p class="note">{escape(entry.note)}</p>' if entry.note else ""
        out.append(
            f'<article class="card p{entry.phase}"><h3>{escape(entry.title)}</h3><p class="big">'
            f"{written(found.value, 'ratio', f'{ratio}/value')}"
            f"<small>net Sharpe ratio, {spanned(found, 'ratio', ratio)}</small></p>"
            f"<dl>{rows}</dl>{note}</article>"
        )
    return f'<div class="cards">{"".join(out)}</div>'


def fold_table(content: ReportContent) -> str:
    """Return one row per fold of a walk-forward; nothing where there are none."""
    names = ("chosen", *(entry.name for entry in content.phases))
    rows = [
        (
            marked(str(row.fold), pointer("folds", n, "fold")),
            marked(row.train, pointer("folds", n, "train")),
            marked(row.validation, pointer("folds", n, "validation")),
            marked(row.test, pointer("folds", n, "test")),
            f"phase {marked(str(row.chosen), pointer('folds', n, 'chosen'))}",
            *_gains(row.gains, n),
            *(written(row.sharpe[name], "ratio", pointer("folds", n, "sharpe", name)) for name in names),
        )
        for n, row in enumerate(content.folds)
    ]
    head = ("Fold", "Train", "Validation", "Test", "Chosen", *PHASE_PAIRS)
    note = (
        "Gains are those on validation, as certainty-equivalent return per year; they choose the phase. Sharpe ratios "
        "are those on test, which was opened once."
    )
    return table((*head, *(f"Sharpe ratio, {escape(n)}" for n in names)), rows, note=note) + _path_table(content)


def _gains(found: Sequence[Interval], fold: int) -> list[str]:
    """Return one cell per comparison; the last is empty where it was not needed."""
    told = [
        with_interval(gain, "percent", pointer("folds", fold, "gains", n), sign=True) for n, gain in enumerate(found)
    ]
    return told + [""] * (len(PHASE_PAIRS) - len(told))


def _path_table(content: ReportContent) -> str:
    rows = [
        (escape(name), *(written(value, "ratio", pointer("path_range", name, key)) for key, value in found.items()))
        for name, found in path_range(content).items()
    ]
    return table(("Sharpe ratio of the paths", "Lowest", "Mean", "Highest"), rows)


def path_range(content: ReportContent) -> dict[str, dict[str, float]]:
    """Return the lowest, mean and highest Sharpe ratio of all paths, by backtest."""
    return {
        name: {"lowest": min(found), "mean": sum(found) / len(found), "highest": max(found)}
        for name, found in content.paths.items()
    }


def skill_table(content: ReportContent) -> str:
    """Return what the Sharpe ratios say about skill, and what is left of the result after the search."""
    entries = (*((content.chosen,) if content.chosen else ()), *content.phases, *content.controls, *content.baselines)
    place = places(content)
    rows = [
        (
            escape(entry.short),
            *(
                written(getattr(entry.skill, name), unit, place[entry.name] + pointer("skill", name))
                for name, unit in SKILL.items()
            ),
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
    chance = written(found.beaten_p, "probability", pointer("superiority", "beaten_p"))
    return (
        '<p class="note">Test that no baseline is better (superior predictive ability, on daily utility): p = '
        f"{chance}. Cannot be told from the best (90 % model confidence set): {kept}.</p>"
    )


def _card_label(entry: Assessed, name: str, at: str) -> str:
    label = escape(measure_of(name).label)
    horizon = written(entry.summary["win_horizon_bars"], "count", at + pointer("summary", "win_horizon_bars"))
    return f"{label} ({horizon} bars)" if name == "win_rate" else label


def share_table(content: ReportContent) -> str:
    """Return utility beside reference, bound and previous."""
    rows = []
    for n, row in enumerate(content.shares):
        at = pointer("shares", n)
        shares = [
            with_interval(found, "percent", f"{at}/{name}") if found is not None else "–"
            for name, found in (("share", row.share), ("captured", row.captured), ("bound", row.bound))
        ]
        bound = row.bound_utility
        rows.append(
            (
                escape(row.title),
                with_interval(row.utility, "utility", f"{at}/utility"),
                *shares,
                written(row.reference_utility, "utility", f"{at}/reference_utility"),
                written(bound, "utility", f"{at}/bound_utility") if bound is not None else "–",
            )
        )
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
    for n, p in enumerate(content.promotions):
        at = pointer("promotions", n)
        mark = ("earned", "good") if p.earned else ("worse", "bad") if p.harmed else ("not shown", "open")
        pair = f"{escape(p.later)} <em>over</em> {escape(p.earlier)}"
        gain = with_interval(p.gain, "percent", f"{at}/gain", sign=True)
        rows.append((pair, chip(*mark), gain, with_interval(p.sharpe_gain, "ratio", f"{at}/sharpe_gain", sign=True)))
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
        found = {j.target.phase: (j, n) for n, j in enumerate(content.targets) if j.target.measure == name}
        cells = (_target_cell(*found[phase]) if phase in found else "–" for phase in columns)
        rows.append((escape(measure_of(name).label), *cells))
    head = ("", *(f"Phase {p}" if p != FINAL else f"Target (phase {last})" for p in columns))
    note = (
        "Met or not met only where the whole interval lies on one side of the target; otherwise undecidable at this "
        "sample. Compliance before the fact is enforced by the risk layer; realised losses stand under risk limits."
    )
    return table(head, rows, note=note)


def _target_cell(judged: Judged, number: int) -> str:
    at = pointer("targets", number)
    unit = measure_of(judged.target.measure).unit
    sign = {">": "&gt;", "<": "&lt;", ">=": "≥"}[judged.target.comparison]
    interval = judged.interval
    ends = "" if interval.low == interval.high else f"<small>{spanned(interval, unit, f'{at}/interval')}</small>"
    asked = written(judged.target.threshold, unit, f"{at}/target/threshold")
    return (
        f"{written(interval.value, unit, f'{at}/interval/value')}{ends}<small>asked {sign} {asked}</small>"
        f"{chip(judged.verdict, MARKS[judged.verdict])}"
    )


def comparison_table(content: ReportContent) -> str:
    """Return phases, controls and baselines side by side, sorted by nothing: the order given."""
    entries, place = (*content.phases, *content.controls, *content.baselines), places(content)
    rows = []
    for entry in entries:
        name = f"<b>{escape(entry.title)}</b>" if entry.phase is not None else escape(entry.title)
        note = f"<small>{escape(entry.note)}</small>" if entry.note and entry.phase is None else ""
        rows.append((name + note, *(figure_of(entry, measure, place[entry.name]) for measure in COMPARED)))
    head = ("", *(escape(MEASURES[name].label) for name in COMPARED))
    return table(head, rows, note="Same account, costs, limits and bars. Baselines aim at one ex-ante volatility.")


def measures_table(content: ReportContent, names: Sequence[str]) -> str:
    """Return some measures, one column per phase."""
    place = places(content)
    rows = [
        (
            f"{escape(label_of(name))}<small>{escape(measure_of(name).definition)}</small>",
            *(figure_of(entry, name, place[entry.name]) for entry in content.phases),
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
    place = places(content)
    rows = [
        (
            f"{escape(name)}<small>{escape(entry.short)}</small>",
            *(figure_of(entry, f"{head}.{name}.{suffix}", place[entry.name]) for suffix in suffixes),
        )
        for name, entries in names.items()
        for entry in entries
    ]
    labels = (escape(MEASURES[f"{head}.*.{suffix}"].label.capitalize()) for suffix in suffixes)
    return table(("", *labels), rows)


def everything_table(content: ReportContent) -> str:
    """Return every measure of every backtest."""
    entries, place = (*content.phases, *content.controls, *content.baselines), places(content)
    names = list(dict.fromkeys(name for entry in entries for name in entry.summary))

    def cell(entry: Assessed, name: str) -> str:
        if name not in entry.summary:
            return "–"
        return written(entry.summary[name], measure_of(name).unit, place[entry.name] + pointer("summary", name))

    rows = [(escape(label_of(name)), *(cell(entry, name) for entry in entries)) for name in names]
    return table(("", *(escape(e.short) for e in entries)), rows)
