"""The sentences of a report, each made from the figures it names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.stats import norm

from mtquant.evaluation.content import Assessed, Promotion, ReportContent, ShareRow
from mtquant.evaluation.luck import NEEDED
from mtquant.evaluation.measures import spanned, written
from mtquant.evaluation.skill import Finding
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.targets import Judged, Verdict
from mtquant.evaluation.trials import Search

SUSPICIOUS_SHARPE = 1.0
"""Net Sharpe ratio on real bars from which a leak is likelier than skill."""


class Tone(StrEnum):
    """How a sentence is marked; the mark repeats in words, never in colour alone."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"
    FACT = "fact"


@dataclass(frozen=True)
class Line:
    """One sentence of the verdict."""

    tone: Tone
    text: str


def share_sentence(row: ShareRow) -> str:
    """Say what a phase earns beside the reference, full information and what came before."""
    text = f"{row.title} earns {written(row.utility.value, 'utility')} per bar"
    if math.isnan(row.share.value):
        return f"{text}; {row.reference} earns {written(row.reference_utility, 'utility')}, so a share has no meaning."
    text += f", {_whole(row.share.value)} of what {row.reference} earns"
    if row.bound is not None:
        text += f" and {_whole(row.bound.value)} of what full information would earn"
    if row.captured is not None and math.isfinite(row.captured.value):
        text += f"; it captured {_whole(row.captured.value)} of the gain over {row.previous}"
    return text + "."


def specialists_line(rows: Sequence[ShareRow]) -> Line | None:
    """Say in one sentence what share of its reference each specialist earns; None without rows."""
    if len(rows) < 2:
        return Line(_share_tone(rows), share_sentence(rows[0])) if rows else None
    references = list(dict.fromkeys(row.reference for row in rows))
    parts = [f"{row.title.split(', ')[-1]} {_whole(row.share.value)}" for row in rows]
    return Line(
        _share_tone(rows), f"Phase 1: of what {' or '.join(references)} earns, the specialists earn {', '.join(parts)}."
    )


def promotion_line(promotion: Promotion) -> Line:
    """Say whether the later phase earned its place."""
    gain = written(promotion.gain.value, "percent", sign=True)
    ends = spanned(promotion.gain, "percent", sign=True)
    worth = f"{gain} a year in certainty-equivalent return over the same bars ({_level(promotion.gain)}: {ends})"
    if promotion.earned:
        return Line(Tone.GOOD, f"{promotion.later} earned its place over {promotion.earlier}: {worth}.")
    if promotion.harmed:
        return Line(Tone.BAD, f"{promotion.later} is worse than {promotion.earlier}: {worth}. It is not promoted.")
    return Line(
        Tone.OPEN, f"{promotion.later} has not shown that it beats {promotion.earlier}: {worth}. It is not promoted."
    )


def skill_line(entry: Assessed, *, planted: bool) -> Line:
    """Say what the net Sharpe ratio of the result allows to say, and on real bars nothing about profit."""
    found = entry.intervals["sharpe"]
    head = f"{entry.short} has a net Sharpe ratio of {written(found.value, 'ratio')} out of sample"
    if not found.known:
        return Line(Tone.OPEN, f"{head}. Too few bars, or no variance, for an interval: nothing can be said.")
    head += f" ({_level(found)}: {spanned(found, 'ratio')})"
    if found.covers(0.0):
        return Line(Tone.OPEN, f"{head}, indistinguishable from zero.")
    if found.high < 0.0:
        return Line(Tone.BAD, f"{head}, below zero.")
    if planted:
        return Line(Tone.GOOD, f"{head}.")
    return Line(Tone.OPEN, f"{head}, above zero on this one split. That is no evidence of profit to come.")


def search_line(search: Search) -> Line:
    """Say what is left of the Sharpe ratio after the trials it was chosen from."""
    skill = search.skill
    tried = "the only trial" if skill.trials == 1 else f"one of {skill.trials} trials"
    if skill.finding is Finding.UNKNOWN:
        return Line(Tone.OPEN, f"It is {tried} on these bars; too little was observed to judge skill.")
    text = (
        f"It is {tried} recorded on these bars: the probability that it is more than the luck of so many (deflated "
        f"Sharpe ratio) is {written(skill.deflated, 'percent')}, which is {skill.finding}."
    )
    if search.overfitting is not None:
        chance = _whole(search.overfitting.probability)
        text += f" Choosing the best of them was overfitting with a probability of {chance}."
    return Line(Tone.GOOD if skill.finding is Finding.SKILL else Tone.OPEN, text)


def luck_line(content: ReportContent) -> Line | None:
    """Say where the result stands among random policies that trade as much; None where none was drawn."""
    luck, entry = content.luck, content.result
    if luck is None or entry is None or math.isnan(luck.percentile):
        return None
    beaten = luck.percentile >= NEEDED
    text = (
        f"{entry.short} beats {_whole(luck.percentile)} of {luck.draws} random policies with its turnover, costs and "
        f"limits; {_whole(NEEDED)} of them stay below a Sharpe ratio of {written(luck.needed, 'ratio')}."
    )
    return Line(Tone.GOOD, text) if beaten else Line(Tone.OPEN, f"{text} That is no evidence of skill.")


def baseline_line(content: ReportContent) -> Line | None:
    """Say which baselines have a net Sharpe ratio at least as high as the result; None where there are none."""
    entry = content.result
    if entry is None:
        return None
    if not content.baselines or not math.isfinite(entry.summary["sharpe"]):
        return None
    ranked = sorted(content.baselines, key=_ranking, reverse=True)
    better = [b.title for b in ranked if _ranking(b) >= _ranking(entry)]
    if not better:
        best = f"{ranked[0].title} with {written(_ranking(ranked[0]), 'ratio')}"
        return Line(Tone.GOOD, f"None of {len(ranked)} baselines has a higher Sharpe ratio; the best is {best}.")
    has = "has" if len(better) == 1 else "have"
    count = f"{len(better)} of {len(ranked)} baselines {has}"
    return Line(Tone.BAD, f"{count} a Sharpe ratio at least as high: {', '.join(better)}.")


def target_line(judged: tuple[Judged, ...]) -> Line | None:
    """Count the verdicts on the documents' targets; None where none was asked."""
    if not judged:
        return None
    count = {verdict: sum(j.verdict is verdict for j in judged) for verdict in Verdict}
    tone = Tone.BAD if count[Verdict.NOT_MET] else Tone.OPEN if count[Verdict.UNDECIDABLE] else Tone.GOOD
    parts = ", ".join(f"{number} {verdict}" for verdict, number in count.items())
    return Line(tone, f"Of the {len(judged)} targets in the documents: {parts}.")


def verdict_lines(content: ReportContent) -> list[Line]:
    """Return what the report opens with."""
    planted = content.market.planted
    lines: list[Line | None] = []
    if content.result is not None:
        lines.append(skill_line(content.result, planted=planted))
    if content.traded is not None:
        lines.append(Line(Tone.FACT, f"In this fold validation chose phase {content.traded}; that is what it trades."))
    if content.search is not None:
        lines.append(search_line(content.search))
    specialists = [row for row in content.shares if row.phase == 1]
    lines.append(specialists_line(specialists))
    lines += [Line(_share_tone([row]), share_sentence(row)) for row in content.shares if (row.phase or 0) > 1]
    lines += [promotion_line(p) for p in content.promotions]
    lines += [luck_line(content), baseline_line(content), target_line(content.targets)]
    return [line for line in lines if line is not None]


def market_sentence(content: ReportContent) -> str:
    """Say on what the figures were measured."""
    market = content.market
    kind = (
        "A planted market: generated bars whose optimum is known. The figures say how well the agents learn, "
        "nothing about profit on real prices."
        if market.planted
        else "Real bars. Nothing here is a claim of profitability."
    )
    if content.result is None:
        return kind
    summary = content.result.summary
    passes, years = round(summary["passes"]), written(summary["years"], "years")
    several = f"{passes} independent passes" if passes > 1 else "one pass"
    if content.consecutive:
        several = f"{passes} test blocks, one after the other"
    return (
        f"{kind} Split: {market.split}, {market.timeframe} bars, {several}, {years} years in all; "
        f"costs: {market.costs}."
    )


def honest_statements(content: ReportContent) -> list[str]:
    """Return what a reader must know before believing the figures."""
    out = []
    if not content.folds:
        out.append("All figures come from a single split. `mtquant train --walk-forward` says how much they change.")
    out.append(
        "Sharpe ratios are as they were measured. Trials made outside of this store are not counted; state them as "
        "`evaluation.earlier_trials`. Repeated looks at the test split make its figures too high."
    )
    if content.paths:
        out.append("Combinatorial folds train on bars after some of their tests: a diagnostic, not a track record.")
    for entry in content.phases:
        error = entry.summary["sharpe_standard_error"]
        years = written(entry.summary["years"], "years")
        out.append(f"{entry.short}: standard error of the Sharpe ratio {written(error, 'ratio')} over {years} years.")
    if content.result is not None:
        out += _about_last(content.result, planted=content.market.planted)
    return [*out, *content.notes]


def _about_last(entry: Assessed, *, planted: bool) -> list[str]:
    out = []
    ratio, horizon = entry.summary["sharpe"], entry.summary["win_horizon_bars"]
    if math.isfinite(ratio):
        implied = float(norm.cdf(ratio * math.sqrt(horizon / entry.result.bars_per_year)))
        out.append(
            f"A win rate follows from Sharpe ratio and horizon: Gaussian returns with {written(ratio, 'ratio')} win "
            f"{written(implied, 'percent')} of windows of {written(horizon, 'count')} bars. A drawdown follows from "
            f"leverage: it was measured at {written(entry.summary['annual_volatility'], 'percent')} volatility a year."
        )
    if not planted and ratio > SUSPICIOUS_SHARPE:
        out.append(
            f"A net Sharpe ratio of {written(ratio, 'ratio')} on real bars is above what such agents plausibly earn; "
            "look for a leak before believing it."
        )
    if entry.summary["passes_ruined"]:
        out.append(f"{written(entry.summary['passes_ruined'], 'count')} passes of {entry.short} ended in ruin.")
    return out


def _ranking(entry: Assessed) -> float:
    """Return the Sharpe ratio; who held nothing counts as 0."""
    ratio = entry.summary["sharpe"]
    return ratio if math.isfinite(ratio) else 0.0


def _share_tone(rows: Sequence[ShareRow]) -> Tone:
    # how large a share is enough is for gates to say, not for this page
    if all(row.utility.known and row.utility.low > 0.0 for row in rows):
        return Tone.FACT
    return Tone.BAD if any(row.utility.known and row.utility.high < 0.0 for row in rows) else Tone.OPEN


def _whole(value: float) -> str:
    if math.isnan(value):
        return "n/a"
    text = f"{abs(100.0 * value):.0f}"
    return f"{'−' if value < 0 and text != '0' else ''}{text} %"


def _level(interval: Interval) -> str:
    return f"{_whole(interval.level)} interval"
