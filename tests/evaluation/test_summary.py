"""Measures of a backtest: against slow formulas, over passes, over days, at the edges."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from mtquant import metrics
from mtquant.context import Streams
from mtquant.errors import DataError
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.measures import label_of, measure_of
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import DAY, Measuring, by_day, common_clock
from mtquant.evaluation.summary import summarise
from tests.evaluation.made import BARS_PER_YEAR, GROUPS, UNIT_RISK, made_correlation, made_measuring, made_result


def permuted(result: BacktestResult, order: list[int]) -> BacktestResult:
    """Return the passes in another order."""
    changed = {
        f.name: getattr(result, f.name)[:, order]
        for f in fields(result)
        if isinstance(getattr(result, f.name), np.ndarray)
    }
    return replace(result, **changed)


def cut_to(result: BacktestResult, bars: int) -> BacktestResult:
    """Return only the first bars."""
    changed = {
        f.name: getattr(result, f.name)[: bars + (f.name == "equity")]
        for f in fields(result)
        if isinstance(getattr(result, f.name), np.ndarray)
    }
    return replace(result, **changed)


def test_against_slow_formulas() -> None:
    result = made_result("agent", 1, meta=True)
    found = summarise(result, made_measuring())
    returns = np.concatenate([result.equity[1:, n] / result.equity[:-1, n] - 1.0 for n in range(2)])
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(BARS_PER_YEAR))
    assert found["annual_return"] == pytest.approx(returns.mean() * BARS_PER_YEAR)
    deepest = max(float(metrics.max_drawdown(result.equity[:, n])) for n in range(2))
    assert found["max_drawdown"] == pytest.approx(deepest)
    assert found["calmar"] == pytest.approx(found["annual_growth"] / deepest)
    won = [result.equity[s + 10, n] > result.equity[s, n] for n in range(2) for s in range(0, 300, 10)]
    assert found["win_rate"] == pytest.approx(np.mean(won))
    utilities, gross, cost = [], [], []
    for t in range(300):
        for n in range(2):
            x = result.exposure[t, n]
            net = (result.gross[t, n].sum() - result.cost[t, n].sum()) / result.equity[t, n]
            utilities.append(net / UNIT_RISK - 0.5 * 20.0 * UNIT_RISK * x @ made_correlation() @ x)
            gross.append(result.gross[t, n].sum() / result.equity[t, n])
            cost.append(result.cost[t, n].sum() / result.equity[t, n])
    assert found["utility"] == pytest.approx(np.mean(utilities))
    assert found["cost_per_year"] == pytest.approx(np.mean(cost) * BARS_PER_YEAR)
    assert found["cost_share_of_gross"] == pytest.approx(sum(cost) / sum(gross))
    assert found["annual_return"] == pytest.approx(found["gross_per_year"] - found["cost_per_year"])
    assert found["turnover"] == pytest.approx(np.abs(result.trade).sum() / 600 * BARS_PER_YEAR)
    assert found["var_exceeded"] == pytest.approx(np.mean(-returns > result.value_at_risk.T.ravel()))
    assert found["var_compliance"] == np.mean(result.value_at_risk <= 0.02)
    assert found["projection_share"] == np.mean(result.projection > 0)
    assert found["stops_per_year"] == pytest.approx(result.stops.sum() / 600 * BARS_PER_YEAR)
    assert found["years"] == pytest.approx(600 / BARS_PER_YEAR)
    assert found["ex_ante_volatility"] == pytest.approx(
        math.sqrt(np.mean(result.value_at_risk**2)) / 1.645 * math.sqrt(BARS_PER_YEAR)
    )


def test_parts_add_up() -> None:
    found = summarise(made_result("agent", 2, meta=True), made_measuring())
    for kind, part in (("specialist", GROUPS), ("instrument", made_result("a", 2).symbols)):
        total = sum(found[f"{kind}.{name}.annual_return"] for name in part)
        assert total == pytest.approx(found["annual_return"])
    assert sum(found[f"specialist.{g}.risk_share"] for g in GROUPS) == pytest.approx(1.0)
    assert sum(found[f"specialist.{g}.budget"] for g in GROUPS) == pytest.approx(2.0)
    assert 1.0 <= found["specialists_effective"] <= 3.0


def test_a_specialist_alone_counts_as_one() -> None:
    result = made_result("agent", 3)
    only = result.exposure.copy()
    only[:, :, 2:] = 0.0
    found = summarise(replace(result, exposure=only), made_measuring())
    assert found["specialists_effective"] == pytest.approx(1.0)
    assert found["specialist.forex.active"] == 1.0
    assert found["specialist.equity.active"] == 0.0
    assert found["hit_rate"] == np.mean(result.gross[:, :, :2] > 0)


@pytest.mark.parametrize("lengths", [None, (300, 120, 77)])
def test_the_order_of_passes_does_not_matter(lengths: tuple[int, ...] | None) -> None:
    result = made_result("agent", 4, passes=3, meta=True, lengths=lengths)
    here, there = (summarise(r, made_measuring()) for r in (result, permuted(result, [2, 0, 1])))
    for name, value in here.items():
        assert there[name] == pytest.approx(value, nan_ok=True), name


def test_what_lies_after_the_end_of_a_pass_is_ignored() -> None:
    result = made_result("agent", 5, passes=2, lengths=(300, 100))
    dirty = replace(
        result, **{n: np.where(result.alive, getattr(result, n), 9) for n in ("value_at_risk", "projection", "stops")}
    )
    assert summarise(dirty, made_measuring()) == pytest.approx(summarise(result, made_measuring()), nan_ok=True)
    alone = cut_to(permuted(result, [1]), 100)
    both = cut_to(permuted(result, [1, 1]), 100)
    assert summarise(both, made_measuring())["sharpe"] == pytest.approx(
        summarise(alone, made_measuring())["sharpe"], rel=0.01
    )


def test_intraday_bars_are_measured_by_day() -> None:
    result = made_result("agent", 6, bars=240)
    hourly = replace(result, time=result.time[:1] + (np.arange(240) * (DAY // 6))[:, None], bars_per_year=1_560.0)
    found = summarise(hourly, made_measuring())
    growth = (1.0 + result.returns).reshape(40, 6, 2).prod(axis=1) - 1.0
    pooled = growth.T.ravel()
    assert found["sharpe"] == pytest.approx(float(metrics.sharpe(pooled, 260.0)))
    assert by_day(hourly, common_clock([hourly]), made_measuring()).per_year == pytest.approx(260.0)
    assert found["max_drawdown"] == summarise(result, made_measuring())["max_drawdown"]
    assert found["utility"] == pytest.approx(summarise(result, made_measuring())["utility"])


def test_nothing_held_is_nothing_measured() -> None:
    found = summarise(made_result("flat", 0, size=0.0), made_measuring())
    for name in ("annual_return", "max_drawdown", "turnover", "utility", "cost_per_year", "gross_exposure"):
        assert found[name] == 0.0
    for name in ("sharpe", "sortino", "calmar", "win_rate", "hit_rate", "var_exceeded", "specialists_effective"):
        assert math.isnan(found[name])
    assert found["var_compliance"] == 1.0


def test_every_measure_is_explained() -> None:
    equal = made_result("equal", 7)
    found = summarise(made_result("agent", 8, meta=True), made_measuring(), equal=equal)
    assert all(label_of(name) and measure_of(name).definition for name in found)
    assert label_of("specialist.forex.active") == "forex: active"


def test_allocation_against_equal_budgets() -> None:
    result, equal = made_result("agent", 9, edge=0.09), made_result("equal", 10, edge=0.06)
    same = summarise(result, made_measuring(), equal=result)
    assert same["allocation_efficiency"] == pytest.approx(1.0)
    assert same["allocation_gain"] == 0.0
    found = summarise(result, made_measuring(), equal=equal)
    own, even = found["utility"], summarise(equal, made_measuring())["utility"]
    assert found["allocation_efficiency"] == pytest.approx(own / even)
    assert found["allocation_gain"] == pytest.approx((own - even) * UNIT_RISK * BARS_PER_YEAR)
    losing = made_result("equal", 11, edge=-0.2)
    assert math.isnan(summarise(result, made_measuring(), equal=losing)["allocation_efficiency"])


def test_who_was_ruined_early_is_flat_afterwards() -> None:
    whole = made_result("agent", 12)
    ruined = cut_to(replace(whole, name="ruined"), 60)
    clock = common_clock([ruined, whole])
    found = summarise(ruined, made_measuring(), clock=clock)
    padded = np.concatenate([ruined.returns, np.zeros((240, 2))])
    assert found["sharpe"] == pytest.approx(float(metrics.sharpe(padded.T.ravel(), BARS_PER_YEAR)))
    assert found["passes_ruined"] == 2.0
    assessor = Assessor([whole, ruined], made_measuring(), Streams(0), samples=30)
    gain = assessor.promotion(assessor.assess(whole, title="whole"), assessor.assess(ruined, title="ruined")).gain
    difference = summarise(whole, made_measuring())["utility"] - found["utility"]
    assert gain.value == pytest.approx(difference * UNIT_RISK * BARS_PER_YEAR)


def test_different_bars_are_not_compared() -> None:
    first = made_result("a", 1)
    with pytest.raises(DataError, match="different bars"):
        common_clock([first, replace(made_result("b", 1), time=first.time + 1)])
    with pytest.raises(DataError, match="3 passes"):
        common_clock([first, made_result("b", 1, passes=3)])
    with pytest.raises(DataError, match="5 x 5"):
        summarise(first, Measuring(correlation=np.eye(3), unit_risk=UNIT_RISK))


def test_intervals_hold_their_values_and_do_not_depend_on_company() -> None:
    first, second = made_result("a", 1, edge=0.08), made_result("b", 2, edge=0.02)
    one = Assessor([first], made_measuring(), Streams(0), samples=60).assess(first, title="a")
    two = Assessor([second, first], made_measuring(), Streams(0), samples=60).assess(first, title="a")
    assert one.intervals == two.intervals
    for name, interval in one.intervals.items():
        assert interval.value == pytest.approx(one.summary[name])
        assert interval.low <= interval.value <= interval.high, name
