"""`MARLBacktester`: document 4's class over the one backtest that everything else uses.

Bars that the policies were trained or chosen on are refused. Profits, costs and equity are those of the simulator;
nothing is counted a second time here.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mtquant.agents.hierarchy import Hierarchy, load_trained
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import between
from mtquant.errors import UsageError
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Clock, Measuring, by_day, common_clock
from mtquant.evaluation.summary import summarise
from mtquant.execution.attempt import read_pipeline
from mtquant.store.runs import load_run, unit_of_run
from mtquant.types import Array


def trained_agents(
    root: Path, run: str | None = None, phase: Literal[1, 2, 3] = 3
) -> tuple[Hierarchy, Dataset, PipelineSpec]:
    """Return the agents of a phase of a run in the store `root` (the newest one unless named), its bars and settings.

    Raises `UsageError` where the run is not finished or trained folds of its own.
    """
    record = load_run(root, run)
    spec = read_pipeline(record)
    names = ("dataset-market", *(f"phase1-{g}" for g in spec.groups), "phase2-meta", "phase3-joint")
    missing = [n for n in names if n not in record.units or unit_of_run(root, record, n).done() is None]
    if missing:
        raise UsageError(
            f"The run {record.run_id} has no {missing[0]}; this needs a finished training that is no walk-forward. "
            f"`mtquant resume {record.run_id}` finishes one."
        )
    folders = {name: unit_of_run(root, record, name).outputs for name in names}
    dataset = Dataset.load(folders["dataset-market"] / "dataset")
    trained = load_trained(spec, dataset, folders)
    return (trained.phase1, trained.phase2, trained.phase3)[phase - 1], dataset, spec


@dataclass(frozen=True)
class MARLBacktester:
    """Trades trained agents over days they have not seen."""

    agents: Hierarchy
    dataset: Dataset
    spec: PipelineSpec

    @classmethod
    def of_run(cls, root: Path, run: str | None = None, phase: Literal[1, 2, 3] = 3) -> "MARLBacktester":
        """Return the backtester of a finished run (`trained_agents`)."""
        return cls(*trained_agents(root, run, phase))

    def run_backtest(
        self,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        initial_capital: float = 100_000.0,
        transaction_costs: float | None = 0.001,
    ) -> dict[str, Any]:
        """Trade the days from `start_date` to `end_date` (UTC, both included) and return all that happened.

        `transaction_costs` are charged per traded notional; None: the costs the run was trained with. Keys of the
        answer: `results` (tables `equity_curve`, `trade_log`, `daily_returns`, `positions`, `agent_decisions`),
        `metrics` (every measure of the report) and `portfolio_summary`. Raises `DataError` where days were trained
        on, naming them.
        """
        days = (_day(start_date), _day(end_date))
        split = between(self.dataset.market, self.dataset.splits, *days)
        spec = _account(self.spec, initial_capital, transaction_costs)
        result = self.agents.backtest(self.dataset, spec, split)
        measuring, clock = Measuring.of(spec, self.dataset), common_clock([result])
        found = summarise(result, measuring, clock=clock)
        return {"results": _tables(result, measuring, clock), "metrics": found, "portfolio_summary": _portfolio(result)}


def _account(spec: PipelineSpec, capital: float, costs: float | None) -> PipelineSpec:
    changed: dict[str, object] = {"initial_capital": capital}
    if costs is not None:
        changed |= {"costs": "flat", "transaction_cost": costs}
    # through the spec's own validation, as if it had been written in a file
    found = spec.environment.model_dump() | changed
    return spec.model_copy(update={"environment": type(spec.environment).model_validate(found)})


def _tables(result: BacktestResult, measuring: Measuring, clock: Clock) -> dict[str, pd.DataFrame]:
    """Return what happened as tables; `segment` numbers the passes."""
    index = pd.MultiIndex.from_arrays([_when(result), np.nonzero(result.alive)[1]], names=["time", "segment"])
    symbols = list(result.symbols)
    positions = pd.DataFrame(result.exposure[result.alive], index=index, columns=symbols)
    trades, costs = (pd.DataFrame(a[result.alive], index=index, columns=symbols) for a in (result.trade, result.cost))
    log = pd.DataFrame({"exposure_change": trades.stack(), "exposure": positions.stack(), "cost": costs.stack()})
    log.index.names = ["time", "segment", "instrument"]
    days = by_day(result, clock, measuring).returns
    daily = pd.concat(
        [
            pd.DataFrame({"day": pd.to_datetime(day, unit="D", utc=True), "segment": n, "return": paid})
            for n, (day, paid) in enumerate(zip(clock.days(), days, strict=True))
        ],
        ignore_index=True,
    )
    return {
        "equity_curve": pd.DataFrame({"equity": result.equity[1:][result.alive]}, index=index),
        "trade_log": log[log["exposure_change"] != 0.0].reset_index(),
        "daily_returns": daily,
        "positions": positions,
        "agent_decisions": _decisions(result, index),
    }


def _decisions(result: BacktestResult, index: pd.MultiIndex) -> pd.DataFrame:
    """Return what was decided: `book.<instrument>` of the specialists, `budget.<group>` and `appetite` of the meta."""
    assert result.books is not None
    assert result.budgets is not None
    assert result.appetite is not None
    columns = {f"book.{s}": result.books[..., k][result.alive] for k, s in enumerate(result.symbols)}
    columns |= {f"budget.{g}": result.budgets[..., k][result.alive] for k, g in enumerate(result.groups)}
    return pd.DataFrame(columns | {"appetite": result.appetite[result.alive]}, index=index)


def _portfolio(result: BacktestResult) -> dict[str, float]:
    """Return sums over all passes, in account currency."""
    net = result.equity[-1] - result.equity[0]
    traded = np.where(result.alive[..., None], result.trade, 0.0)
    return {
        "initial_capital": float(result.equity[0].sum()),
        "final_equity": float(result.equity[-1].sum()),
        "net_profit": float(net.sum()),
        "costs": float(result.cost[result.alive].sum()),
        "trades": float((traded != 0.0).sum()),
    }


def _when(result: BacktestResult) -> Array:
    return pd.to_datetime(result.time[result.alive], utc=True).to_numpy()


def _day(given: str | date | None) -> date | None:
    if given is None or isinstance(given, date):
        return given
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise UsageError(f"`{given}` is no day; days are written as 2021-12-31.") from error
