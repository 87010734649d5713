"""Diagnoses of folds put together: sums stay sums, means are means, worst is worst."""

import json
import math
from dataclasses import asdict

import pytest

from mtquant.evaluation.attribution import Attribution
from mtquant.evaluation.folded import pool_attributions, pool_curves, pool_robustness, read_attribution, read_robustness
from mtquant.evaluation.stress import CostPoint, Robustness, Stressed, Window

PLAYERS = ("a", "b")


def attribution(scale, years):
    cells = {p: dict.fromkeys(years, scale * (i + 1)) for i, p in enumerate(PLAYERS)}
    by_player = {p: sum(cells[p].values()) for p in PLAYERS}
    return Attribution("phase2", PLAYERS, sum(by_player.values()), by_player, cells, cells, cells, cells)


def robustness(scale, sharpe=1.0):
    sweep = tuple(CostPoint(bps, sharpe, scale - 0.01 * bps) for bps in (0.0, 1.0, 5.0))
    stress = Stressed("as it is", sharpe, scale, 0.1 * scale, -scale, 0.0, 1.0)
    return Robustness(
        "phase2", sweep, math.nan, (stress,), (Window("w", "2020-01-01", "2020-02-01", 20, {"phase2": 0.1}),)
    )


def test_profits_of_folds_add_up():
    found = pool_attributions([attribution(0.1, ("2019",)), attribution(0.2, ("2019", "2020"))], [1, 3], "chosen")
    assert found.total == pytest.approx(0.25 * 0.3 + 0.75 * 1.2)
    assert sum(found.by_player.values()) == pytest.approx(found.total)
    for cells in (found.by_year, found.by_instrument):
        assert sum(sum(part.values()) for part in cells.values()) == pytest.approx(found.total)
    assert found.by_year["a"]["2020"] == pytest.approx(0.75 * 0.2)
    assert found.agent == "chosen"


def test_costs_are_averaged_and_the_worst_stays_the_worst():
    found = pool_robustness([robustness(0.02), robustness(0.04, sharpe=2.0)], "chosen")
    assert [point.annual_return for point in found.sweep] == pytest.approx([0.03, 0.02, -0.02])
    assert found.break_even_bps == pytest.approx(3.0)
    (stress,) = found.stresses
    assert (stress.sharpe, stress.worst_day, stress.max_drawdown, stress.passes_ruined) == (1.5, -0.04, 0.004, 2.0)


def test_they_survive_being_written():
    written = json.loads(json.dumps(asdict(attribution(0.1, ("2019",)))))
    assert read_attribution(written) == attribution(0.1, ("2019",))
    found = asdict(robustness(0.1))
    found["break_even_bps"], found["stresses"][0]["sharpe"] = None, None
    again = read_robustness(json.loads(json.dumps(found)))
    assert again.sweep == robustness(0.1).sweep and again.windows == robustness(0.1).windows
    assert math.isnan(again.stresses[0].sharpe)


def curve(unit, values, first=100):
    return {"unit": unit, "metric": "reward", "step": [first * (i + 1) for i in range(len(values))], "value": values}


def test_learning_curves_are_averaged_where_every_fold_has_them():
    found = pool_curves(
        [
            [curve("phase1-a", [1.0, 2.0, 3.0]), curve("phase2-meta", [1.0]), curve("phase3-joint", [1.0])],
            [curve("phase1-a", [3.0, 4.0]), curve("phase3-joint", [1.0], first=50)],
        ]
    )
    assert [one.unit for one in found] == ["phase1-a"]
    assert found[0].metric == "reward"
    assert found[0].step.tolist() == [100, 200]
    assert found[0].value.tolist() == [2.0, 3.0]
