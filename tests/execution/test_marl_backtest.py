"""Document 4's backtester and evaluator: the account of the one backtest, in the document's shape."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtquant.data.splits import Split, Splits
from mtquant.errors import DataError, UsageError
from mtquant.execution import marl_backtest, marl_evaluation
from mtquant.execution.marl_backtest import MARLBacktester
from mtquant.execution.marl_evaluation import MARLEvaluator, _episodes, summary_statistics
from tests.execution.test_attributing import hierarchy
from tests.tiny import tiny_dataset, tiny_spec


@pytest.fixture(scope="module")
def tiny():
    spec, dataset = tiny_spec(), tiny_dataset(bars=1000)
    splits = Splits(Split("train", ((0, 400),)), Split("validation", ((420, 600),)), Split("test", ((620, 1000),)))
    return hierarchy(spec), replace(dataset, splits=splits), spec


def day_of(dataset, bar):
    return str(dataset.market.time[bar].astype("datetime64[ns]").astype("datetime64[D]"))


def test_days_capital_and_costs_are_those_that_were_asked(tiny):
    agents, dataset, spec = tiny
    found = MARLBacktester(*tiny).run_backtest(
        day_of(dataset, 700), day_of(dataset, 800), initial_capital=5_000.0, transaction_costs=0.002
    )
    results, portfolio = found["results"], found["portfolio_summary"]
    assert portfolio["initial_capital"] == 5_000.0
    account = {"initial_capital": 5_000.0, "costs": "flat", "transaction_cost": 0.002}
    same = spec.model_copy(update={"environment": spec.environment.model_copy(update=account)})
    whole = agents.backtest(dataset, same, Split("test", ((700, 801),)))
    assert results["equity_curve"]["equity"].to_numpy() == pytest.approx(whole.equity[1:, 0], abs=1e-9)
    assert portfolio["net_profit"] == pytest.approx(float((whole.gross - whole.cost).sum()), abs=1e-9)
    assert results["trade_log"]["cost"].sum() <= portfolio["costs"] + 1e-9
    times = results["equity_curve"].index.get_level_values("time")
    assert (str(times.min().date()), str(times.max().date())) == (day_of(dataset, 701), day_of(dataset, 800))
    growth = float(np.prod(1.0 + results["daily_returns"]["return"]))
    assert 5_000.0 * growth == pytest.approx(portfolio["final_equity"])


def test_every_trade_is_logged_with_its_cost_and_what_was_held(tiny):
    agents, dataset, spec = tiny
    results = MARLBacktester(*tiny).run_backtest(day_of(dataset, 620), transaction_costs=None)["results"]
    whole = agents.backtest(dataset, spec, Split("test", ((620, 1000),)))
    log = results["trade_log"]
    traded = whole.trade[:, 0] != 0.0
    assert len(log) == traded.sum() > 100
    assert sorted(log["cost"]) == pytest.approx(sorted(whole.cost[:, 0][traded]), abs=1e-9)
    held = results["positions"].droplevel("segment").stack()
    assert log["exposure"].to_numpy() == pytest.approx(
        held.loc[list(zip(log["time"], log["instrument"], strict=True))].to_numpy(), abs=1e-12
    )
    decisions = results["agent_decisions"]
    assert {"budget.forex", "appetite", f"book.{dataset.market.symbols[0]}"} <= set(decisions.columns)
    assert len(decisions) == len(results["equity_curve"])


def test_costs_are_paid(tiny):
    backtester = MARLBacktester(*tiny)
    start = day_of(tiny[1], 620)
    free, dear = (backtester.run_backtest(start, transaction_costs=c)["portfolio_summary"] for c in (0.0, 0.01))
    assert free["costs"] == pytest.approx(0.0, abs=1e-9)
    assert dear["costs"] > 0.0
    assert dear["final_equity"] < free["final_equity"]


def test_what_was_trained_on_is_refused_and_named(tiny):
    dataset = tiny[1]
    with pytest.raises(DataError, match="belong to the train split") as refused:
        MARLBacktester(*tiny).run_backtest(day_of(dataset, 390), day_of(dataset, 700))
    assert day_of(dataset, 399) in str(refused.value)
    with pytest.raises(UsageError, match="2021-12-31"):
        MARLBacktester(*tiny).run_backtest("31.12.2021")


def test_episodes_and_their_statistics(tiny, tmp_path):
    evaluator = MARLEvaluator(*tiny)
    found = evaluator.evaluate_performance(episodes=7, save_results=tmp_path)
    details, summary = found["detailed_results"], found["summary_statistics"]
    assert len(details) == 7
    reward = details["reward"].to_numpy()
    assert summary["performance_metrics"]["median_reward"] == pytest.approx(np.median(reward))
    assert summary["risk_metrics"]["value_at_risk_95"] == pytest.approx(np.percentile(reward, 5))
    contributions = details.filter(like="contribution.").sum(axis=1).to_numpy()
    assert contributions == pytest.approx(reward, abs=1e-9)
    report = (tmp_path / "evaluation.md").read_text()
    for name in ("Mean reward", "Value at risk (95 %)", "Profit factor", "Forex Agent", "Correlation with total"):
        assert name in report, name
    assert f"{summary['trading_metrics']['largest_loss']:.4f}" in report
    assert len(pd.read_csv(tmp_path / "episodes.csv")) == 7


def test_episodes_lie_inside_the_test_split(tiny):
    _, dataset, spec = tiny
    windows = _episodes(dataset, spec, 5).segments
    assert windows[0][0] == 620
    assert windows[-1][1] == 1000
    assert {stop - start for start, stop in windows} == {min(spec.environment.episode_length + 1, 380)}


def test_the_documentation_says_how(tiny, monkeypatch, tmp_path, capsys):
    """The block in the documentation, over bars that were not trained on."""
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    days = (day_of(tiny[1], 700), day_of(tiny[1], 800))
    for written, there in zip(re.findall(r'"(\d{4}-\d\d-\d\d)"', block), days, strict=True):
        block = block.replace(written, there)
    for module in (marl_backtest, marl_evaluation):
        monkeypatch.setattr(module, "trained_agents", lambda root, run, phase: tiny)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/evaluation.md", "exec"), {})  # noqa: S102
    assert "value_at_risk_95" in capsys.readouterr().out
    assert (tmp_path / "evaluation.md").exists()


def test_statistics_as_the_document_names_them():
    details = pd.DataFrame({"reward": [0.1, -0.2, 0.3, 0.0], "contribution.a": [0.1, -0.2, 0.3, 0.0]})
    details = details.assign(sharpe_ratio=1.0, max_drawdown=0.1, volatility=0.2, win_rate=0.5)
    found = summary_statistics(details, ("a",))
    assert found["trading_metrics"]["profit_factor"] == pytest.approx(2.0)
    assert found["trading_metrics"]["average_win"] == pytest.approx(0.2)
    assert found["trading_metrics"]["average_loss"] == pytest.approx(-0.2)
    assert found["agent_analysis"]["a"]["correlation_with_total"] == pytest.approx(1.0)
    alone = summary_statistics(details[:1], ("a",))
    assert np.isnan(alone["trading_metrics"]["average_loss"])
    assert np.isnan(alone["agent_analysis"]["a"]["correlation_with_total"])
