"""Where an agent stands among random policies that trade as much as it does."""

from dataclasses import dataclass, replace

import numpy as np

from mtquant import metrics
from mtquant.data.splits import Split
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.envs.scenario import Scenario
from mtquant.evaluation.backtest import play
from mtquant.evaluation.baselines import BaselineSetting, random
from mtquant.evaluation.series import Clock, Measuring
from mtquant.types import Array, Float, Int

NEEDED = 0.95
"""Share of random policies that skill has to beat."""
NUMBERS = 16_000_000
"""Bars x instruments x policies that are traded side by side: bounds the memory."""


@dataclass(frozen=True)
class Luck:
    """The Sharpe ratios of random policies with the agent's turnover, under its costs, limits and volatility."""

    draws: int
    percentile: float
    """Share of them that the agent beats; NaN where it has no Sharpe ratio."""
    median: float
    needed: float
    """Sharpe ratio that 95 % of them do not reach."""


@dataclass(frozen=True)
class SideBySide:
    """Several tables of exposures as one `ActFn`: rows are all passes under the first table, then the second, ..."""

    tables: Float
    """[C, B, K]"""
    row: Int
    """[T] row of the tables that each bar of the market has."""

    def __call__(self, observation: Array, /) -> Array:
        """Return `[N, K]` exposures wanted for observations `[N, 1 + K]`."""
        rows = len(observation)
        table = np.arange(rows) // (rows // len(self.tables))
        out: Array = self.tables[table, self.row[np.asarray(observation)[:, 0].astype(np.int64)]]
        return out


def random_sharpes(
    game: PortfolioGame, split: Split, setting: BaselineSetting, measuring: Measuring, draws: int
) -> Float:
    """Return `[draws]` Sharpe ratios of random policies; each depends on the stream of `setting` and its number."""
    tested = split.mask(len(game.dataset.market.time))
    bars, row = np.flatnonzero(tested), np.cumsum(tested) - 1
    chunk = max(1, min(draws, NUMBERS // (len(bars) * game.slots)))
    assert setting.rng is not None
    seeds = setting.rng.integers(2**63, size=draws)
    out: list[float] = []
    for first in range(0, draws, chunk):
        part = seeds[first : first + chunk]
        tables = np.empty((len(part), len(bars), game.slots))
        for table, seed in zip(tables, part, strict=True):
            table[:] = random(replace(setting, rng=np.random.default_rng(seed))).table[bars]
        clock, returns = _daily_returns(game, split, SideBySide(tables, row))
        year = clock.days_per_year
        passes = len(returns) // len(tables)
        for number in range(len(tables)):
            pooled = np.concatenate(returns[number * passes : (number + 1) * passes])
            out.append(float(metrics.sharpe(pooled, year, measuring.risk_free_rate)))
    return np.array(out)


def _daily_returns(game: PortfolioGame, split: Split, act: SideBySide) -> tuple[Clock, list[Float]]:
    """Return the bars that were traded and the net return of every day, one `[D_n]` per pass."""
    alive, bar, growth = [], [], []
    for running, result, _ in play(game, split, {AGENT: act}, conditions=(Scenario(),) * len(act.tables)):
        before = np.where(running, result.equity_before, 1.0)
        alive.append(running)
        bar.append(np.where(running, result.t, 0))
        growth.append(1.0 + np.where(running, (result.equity - result.equity_before) / before, 0.0))
    market = game.dataset.market
    time = market.time[np.minimum(np.stack(bar) + 1, len(market.time) - 1)]
    clock = Clock(time, np.stack(alive), market.bars_per_year)
    return clock, [product - 1.0 for product in clock.daily_products(np.stack(growth))]


def judge_luck(sharpe: float, sharpes: Float) -> Luck | None:
    """Return where `sharpe` stands among `sharpes` [draws]; those without a ratio count as 0. None without draws."""
    if not len(sharpes):
        return None
    known = np.where(np.isfinite(sharpes), sharpes, 0.0)
    share = float(np.mean(known < sharpe)) if np.isfinite(sharpe) else float("nan")
    return Luck(len(known), share, float(np.median(known)), float(np.quantile(known, NEEDED)))
