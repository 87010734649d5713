"""The tables of a report that say where the profit came from and what it bears."""

import math
from collections.abc import Mapping
from html import escape

from mtquant.evaluation.content import ReportContent
from mtquant.evaluation.report_tables import table, written


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
        _crossed("Instrument", found.players, found.by_player, found.by_instrument, note),
        _crossed("Year", found.players, found.by_player, found.by_year, ""),
        _crossed("Regime before the bar", found.players, found.by_player, found.by_regime, ""),
        _crossed("Session", found.players, found.by_player, found.by_session, ""),
    )
    return "".join(parts)


def _crossed(
    title: str,
    players: tuple[str, ...],
    total: Mapping[str, float],
    cells: Mapping[str, Mapping[str, float]],
    note: str,
) -> str:
    labels = list(next(iter(cells.values()), {}))
    if len(labels) < 2:
        return ""
    rows = [
        (escape(label), *(_percent(cells[p][label]) for p in players), _percent(sum(cells[p][label] for p in players)))
        for label in labels
    ]
    rows.append(("All", *(_percent(total[p]) for p in players), _percent(sum(total.values()))))
    return table((title, *(escape(p) for p in players), "All"), rows, note=note)


def robustness_tables(content: ReportContent) -> str:
    """Return the cost sweep, the stresses and the crises; nothing where they were not asked for."""
    found = content.robustness
    if found is None:
        return ""
    if math.isnan(found.break_even_bps):
        edge = "Without any costs there is no profit either."
    elif math.isinf(found.break_even_bps):
        edge = f"Even {found.sweep[-1].cost_bps:g} bp leave a profit."
    else:
        edge = f"The profit is gone at {found.break_even_bps:.2g} bp of traded notional."
    sweep = [
        (f"{point.cost_bps:g} bp", written(point.sharpe, "ratio"), _percent(point.annual_return))
        for point in found.sweep
    ]
    stresses = [
        (
            escape(one.name),
            written(one.sharpe, "ratio"),
            _percent(one.annual_return),
            written(one.max_drawdown, "percent"),
            _percent(one.worst_day),
            written(one.breaker_share, "percent"),
            written(one.passes_ruined, "count"),
        )
        for one in found.stresses
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
        (f"{escape(w.name)}<small>{w.first} to {w.last}</small>", *(_percent(w.returns[n]) for n in names))
        for w in found.windows
    ]
    return table(("Crisis", *(escape(n.replace("_", " ")) for n in names)), rows)


def _percent(value: float) -> str:
    return written(value, "percent", sign=True)
