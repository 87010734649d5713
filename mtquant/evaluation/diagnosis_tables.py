"""The tables of a report that say where the profit came from and what it bears."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeVar

from mtquant.evaluation.attribution import Attribution
from mtquant.evaluation.content import ReportContent
from mtquant.evaluation.report_cells import marked, pointer, table, written

PARTS = ("by_instrument", "by_year", "by_regime", "by_session")
Entry = TypeVar("Entry")


def attribution_tables(content: ReportContent) -> str:
    """Return profit by player and instrument, and by year, regime and session; nothing where it was not asked for."""
    found = content.attribution
    if found is None:
        return ""
    note = (
        "Net profit as a share of the initial capital, mean over passes. Exact Shapley values: what each adds on "
        "average over all orders in which specialists (else flat), allocation (else equal budgets), risk layer (else "
        "none) and costs (else none) can be switched on. Rows and columns add up."
    )
    parts = (
        _crossed("Instrument", found, "by_instrument", note),
        _crossed("Year", found, "by_year", ""),
        _crossed("Regime before the bar", found, "by_regime", ""),
        _crossed("Session", found, "by_session", ""),
    )
    return "".join(parts)


def summed(found: Attribution) -> dict[str, dict[str, float]]:
    """Return the profit of all players together, by each part of the attribution."""
    parts = {name: getattr(found, name) for name in PARTS}
    return {
        name: {label: sum(cells[p][label] for p in found.players) for label in next(iter(cells.values()), {})}
        for name, cells in parts.items()
    } | {"by_player": {"all": sum(found.by_player.values())}}


def _crossed(title: str, found: Attribution, part: str, note: str) -> str:
    cells: Mapping[str, Mapping[str, float]] = getattr(found, part)
    labels = list(next(iter(cells.values()), {}))
    if len(labels) < 2:
        return ""
    together = summed(found)

    def cell(player: str, label: str) -> str:
        return _percent(cells[player][label], pointer("attribution", part, player, label))

    rows = [
        (
            escape(label),
            *(cell(p, label) for p in found.players),
            _percent(together[part][label], pointer("attribution_sums", part, label)),
        )
        for label in labels
    ]
    total = [_percent(found.by_player[p], pointer("attribution", "by_player", p)) for p in found.players]
    everything = _percent(together["by_player"]["all"], pointer("attribution_sums", "by_player", "all"))
    rows.append(("All", *total, everything))
    return table((title, *(escape(p) for p in found.players), "All"), rows, note=note)


def moved_table(content: ReportContent) -> str:
    """Return the share of every block of the observation in the movement of each agent's decisions."""
    names = list(dict.fromkeys(name for one in content.moved for name in one.shares))
    rows = [
        (
            escape(name.replace("_", " ")),
            *(
                written(one.shares[name], "percent", pointer("moved", n, "shares", name)) if name in one.shares else "–"
                for n, one in enumerate(content.moved)
            ),
        )
        for name in names
    ]
    told = ", ".join(
        f"{escape(one.agent)} {marked(str(one.decisions), pointer('moved', n, 'decisions'))}"
        for n, one in enumerate(content.moved)
    )
    note = (
        "Integrated gradients: how far each block of the observation moved the decisions away from those on an average "
        f"observation, as a share of all movement. Decisions explained: {told}. Every one of them stands in "
        "explanation.parquet."
    )
    return table(("", *(escape(one.agent) for one in content.moved)), rows, note=note)


def robustness_tables(content: ReportContent) -> str:
    """Return the cost sweep, the stresses and the crises; nothing where they were not asked for."""
    found = content.robustness
    if found is None:
        return ""
    if math.isnan(found.break_even_bps):
        edge = "Without any costs there is no profit either."
    elif math.isinf(found.break_even_bps):
        edge = f"Even {_bp(found.sweep[-1].cost_bps, pointer('robustness', 'sweep', len(found.sweep) - 1, 'cost_bps'))}"
        edge += " leave a profit."
    else:
        edge = f"The profit is gone at {_bp(found.break_even_bps, pointer('robustness', 'break_even_bps'))} of traded"
        edge += " notional."
    sweep = [
        (
            _bp(point.cost_bps, f"{at}/cost_bps"),
            written(point.sharpe, "ratio", f"{at}/sharpe"),
            _percent(point.annual_return, f"{at}/annual_return"),
        )
        for at, point in _numbered("sweep", found.sweep)
    ]
    stresses = [
        (
            escape(one.name),
            written(one.sharpe, "ratio", f"{at}/sharpe"),
            _percent(one.annual_return, f"{at}/annual_return"),
            written(one.max_drawdown, "percent", f"{at}/max_drawdown"),
            _percent(one.worst_day, f"{at}/worst_day"),
            written(one.breaker_share, "percent", f"{at}/breaker_share"),
            written(one.passes_ruined, "count", f"{at}/passes_ruined"),
        )
        for at, one in _numbered("stresses", found.stresses)
    ]
    head = ("", "Sharpe ratio", "Return a year", "Deepest drawdown", "Worst day", "Under a breaker", "Passes ruined")
    note = "The same policies, not trained for it; they do not see the stress in their features."
    return (
        table(("Cost per traded notional", "Sharpe ratio", "Return a year"), sweep, note=edge)
        + table(head, stresses, note=note)
        + _windows(content)
    )


def _windows(content: ReportContent) -> str:
    found = content.robustness
    if found is None or not found.windows:
        return ""
    names = list(found.windows[0].returns)
    rows = [
        (
            f"{escape(w.name)}<small>{marked(w.first, f'{at}/first')} to {marked(w.last, f'{at}/last')}</small>",
            *(_percent(w.returns[n], at + pointer("returns", n)) for n in names),
        )
        for at, w in _numbered("windows", found.windows)
    ]
    return table(("Crisis", *(escape(n.replace("_", " ")) for n in names)), rows)


def _numbered(part: str, found: Sequence[Entry]) -> list[tuple[str, Entry]]:
    """Return each with where it stands in `report.json`."""
    return [(pointer("robustness", part, n), one) for n, one in enumerate(found)]


def _percent(value: float, at: str) -> str:
    return written(value, "percent", at, sign=True)


def _bp(value: float, at: str) -> str:
    return f"{marked(f'{value:.2g}', at)} bp"
