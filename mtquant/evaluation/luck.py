"""Where an agent stands among random policies that trade as much as it does."""

from dataclasses import dataclass, replace

import numpy as np

from mtquant import metrics
from mtquant.data.splits import Split
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.envs.scenario import Scenario
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.baselines import BaselineSetting, random
from mtquant.evaluation.series import Measuring, by_day, common_clock
from mtquant.types import Array, Float

NEEDED = 0.95
"""Share of random policies that skill has to beat."""
NUMBERS = 4_000_000
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
    """[C, T, K]"""

    def __call__(self, observation: Array, /) -> Array:
        """Return `[N, K]` exposures wanted for observations `[N, 1 + K]`."""
        rows = len(observation)
        table = np.arange(rows) // (rows // len(self.tables))
        out: Array = self.tables[table, np.asarray(observation)[:, 0].astype(np.int64)]
        return out


def random_sharpes(
    game: PortfolioGame, split: Split, setting: BaselineSetting, measuring: Measuring, draws: int
) -> Float:
    """Return `[draws]` Sharpe ratios of random policies; each depends on the stream of `setting` and its number."""
    bars = max(1, split.bars) * game.slots
    chunk = max(1, min(draws, NUMBERS // bars))
    assert setting.rng is not None
    seeds = setting.rng.integers(2**63, size=draws)
    out: list[float] = []
    for first in range(0, draws, chunk):
        streams = [np.random.default_rng(seed) for seed in seeds[first : first + chunk]]
        tables = np.stack([random(replace(setting, rng=rng)).table for rng in streams])
        conditions = (Scenario(),) * len(tables)
        result = backtest(game, split, {AGENT: SideBySide(tables)}, "random", conditions=conditions)
        days = by_day(result, common_clock([result]), measuring)
        passes = len(days.returns) // len(tables)
        for row in range(len(tables)):
            pooled = np.concatenate(days.returns[row * passes : (row + 1) * passes])
            out.append(float(metrics.sharpe(pooled, days.per_year, measuring.risk_free_rate)))
    return np.array(out)


def judge_luck(sharpe: float, sharpes: Float) -> Luck | None:
    """Return where `sharpe` stands among `sharpes` [draws]; those without a ratio count as 0. None without draws."""
    if not len(sharpes):
        return None
    known = np.where(np.isfinite(sharpes), sharpes, 0.0)
    share = float(np.mean(known < sharpe)) if np.isfinite(sharpe) else float("nan")
    return Luck(len(known), share, float(np.median(known)), float(np.quantile(known, NEEDED)))
