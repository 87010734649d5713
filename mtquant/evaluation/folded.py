"""Diagnoses of folds put together: where the profit of a whole walk-forward came from, and what it bears."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtquant.evaluation.attribution import Attribution
from mtquant.evaluation.content import LearningCurve
from mtquant.evaluation.explanation import Moved
from mtquant.evaluation.stress import CostPoint, Robustness, Stressed, Window, break_even

CELLS = ("by_instrument", "by_year", "by_regime", "by_session")
AVERAGED = ("sharpe", "annual_return", "breaker_share")


def read_attribution(found: Mapping[str, Any]) -> Attribution:
    """Return an attribution as `report.json` holds it."""
    return Attribution(**{**found, "players": tuple(found["players"])})


def read_moved(found: Sequence[Mapping[str, Any]]) -> list[Moved]:
    """Return what `report.json` holds of what moved the decisions; null is NaN."""
    return [Moved(**{**one, "shares": _numbers(one["shares"])}) for one in found]


def read_robustness(found: Mapping[str, Any]) -> Robustness:
    """Return what `report.json` holds of the robustness; null is NaN."""
    return Robustness(
        agent=found["agent"],
        sweep=tuple(CostPoint(**_numbers(point)) for point in found["sweep"]),
        break_even_bps=np.nan,
        stresses=tuple(Stressed(**_numbers(one)) for one in found["stresses"]),
        windows=tuple(Window(**{**one, "returns": _numbers(one["returns"])}) for one in found["windows"]),
    )


def pool_attributions(found: Sequence[Attribution], passes: Sequence[int], agent: str) -> Attribution:
    """Return the mean over all passes of all folds; what one fold does not have, it earned nothing in."""
    weights = [count / sum(passes) for count in passes]
    players = found[0].players

    def cells(name: str) -> dict[str, dict[str, float]]:
        parts = [getattr(one, name) for one in found]
        labels = sorted({label for part in parts for label in part[players[0]]})
        return {
            p: {k: sum(w * part[p].get(k, 0.0) for w, part in zip(weights, parts, strict=True)) for k in labels}
            for p in players
        }

    return Attribution(
        agent=agent,
        players=players,
        total=sum(w * one.total for w, one in zip(weights, found, strict=True)),
        by_player={p: sum(w * one.by_player[p] for w, one in zip(weights, found, strict=True)) for p in players},
        **{name: cells(name) for name in CELLS},
    )


def pool_robustness(found: Sequence[Robustness], agent: str) -> Robustness:
    """Return ratios and returns as means over folds, drawdowns and days as the worst fold's.

    Crises are left to the reports of the folds, each of which has its own.
    """
    sweep = tuple(
        CostPoint(
            points[0].cost_bps,
            float(np.mean([point.sharpe for point in points])),
            float(np.mean([point.annual_return for point in points])),
        )
        for points in zip(*(one.sweep for one in found), strict=True)
    )
    stresses = tuple(
        Stressed(
            name=same[0].name,
            max_drawdown=max(one.max_drawdown for one in same),
            worst_day=min(one.worst_day for one in same),
            passes_ruined=sum(one.passes_ruined for one in same),
            **{name: float(np.mean([getattr(one, name) for one in same])) for name in AVERAGED},
        )
        for same in zip(*(one.stresses for one in found), strict=True)
    )
    edge = break_even([point.cost_bps for point in sweep], [point.annual_return for point in sweep])
    return Robustness(agent, sweep, edge, stresses, ())


def pool_curves(found: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[LearningCurve, ...]:
    """Return one learning curve per unit, the mean over folds, of `curves` as each fold's `report.json` holds them.

    It goes as far as the shortest; a unit that some fold does not have is left out.
    """
    by_unit = [{curve["unit"]: curve for curve in curves} for curves in found]
    pooled = []
    for unit, first in by_unit[0].items():
        same = [curves[unit] for curves in by_unit if unit in curves]
        length = min(len(curve["step"]) for curve in same)
        if len(same) < len(found) or any(curve["step"][:length] != first["step"][:length] for curve in same):
            continue
        value = np.mean([np.array(curve["value"][:length], dtype=np.float64) for curve in same], axis=0)
        pooled.append(LearningCurve(unit, first["metric"], np.array(first["step"][:length], dtype=np.int64), value))
    return tuple(pooled)


def _numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.nan if value is None else value for name, value in found.items()}
