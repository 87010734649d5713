"""What would have happened otherwise: other costs, a bar later, wild markets, and the crises inside the bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mtquant import metrics
from mtquant.data.dataset import Dataset
from mtquant.data.volatility import scaled_moves
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Clock, Measuring, by_day, cut
from mtquant.evaluation.summary import deepest_drawdown
from mtquant.types import Array, Float

WINDOWS: dict[str, tuple[str, str]] = {
    "financial crisis": ("2008-09-01", "2009-03-31"),
    "flash crash": ("2010-05-01", "2010-06-30"),
    "US downgrade": ("2011-07-22", "2011-10-04"),
    "taper tantrum": ("2013-05-22", "2013-06-30"),
    "oil slump and franc": ("2014-11-01", "2015-02-15"),
    "yuan devaluation": ("2015-08-10", "2015-09-30"),
    "Brexit": ("2016-06-15", "2016-07-15"),
    "volatility spike": ("2018-01-26", "2018-03-31"),
    "fourth quarter": ("2018-10-01", "2018-12-31"),
    "pandemic": ("2020-02-19", "2020-04-30"),
    "inflation and rates": ("2022-01-01", "2022-10-31"),
    "yen unwind": ("2024-07-10", "2024-08-31"),
    "tariffs": ("2025-04-01", "2025-04-30"),
}
"""First and last day of known crises; those inside the tested bars are reported."""
GAP_DEVIATIONS = 5.0
GAP_EVERY = 60
"""Bars between two gaps on average."""


@dataclass(frozen=True)
class Stressed:
    """One backtest under other circumstances."""

    name: str
    sharpe: float
    annual_return: float
    max_drawdown: float
    worst_day: float
    breaker_share: float
    """Share of bars under a circuit breaker."""
    passes_ruined: float


@dataclass(frozen=True)
class Window:
    """A crisis inside the tested bars."""

    name: str
    first: str
    last: str
    days: int
    returns: dict[str, float]
    """Compounded net return, by backtest."""


@dataclass(frozen=True)
class CostPoint:
    """Net result at one cost per traded notional."""

    cost_bps: float
    sharpe: float
    annual_return: float


@dataclass(frozen=True)
class Robustness:
    """How the result bears other circumstances."""

    agent: str
    sweep: tuple[CostPoint, ...]
    """By cost, ascending."""
    break_even_bps: float
    """Cost at which the mean net return is zero; NaN where it is never above, infinite where it is above at all."""
    stresses: tuple[Stressed, ...]
    """The first is the result as it is."""
    windows: tuple[Window, ...]


def measure_stress(name: str, result: BacktestResult, measuring: Measuring, clock: Clock) -> Stressed:
    """Return the figures of `result`; an account that was ruined counts as flat from then on."""
    fitted = clock.fit(result)
    days = by_day(fitted, clock, measuring)
    pooled = np.concatenate(days.returns)
    return Stressed(
        name=name,
        sharpe=float(metrics.sharpe(pooled, days.per_year, measuring.risk_free_rate)),
        annual_return=float(metrics.mean_return(pooled, days.per_year)),
        max_drawdown=deepest_drawdown(cut(fitted.returns, clock.alive)),
        worst_day=float(pooled.min()),
        breaker_share=float((fitted.breaker[fitted.alive] > 0).mean()),
        passes_ruined=float((clock.alive & ~fitted.alive).any(axis=0).sum()),
    )


def break_even(costs: Sequence[float], returns: Sequence[float]) -> float:
    """Return the cost at which `returns`, which belong to ascending `costs`, cross zero, by straight lines.

    NaN where even the lowest cost earns nothing; infinite where even the highest leaves something.
    """
    if not returns[0] > 0.0:
        return float("nan")
    for (low, above), (high, below) in pairwise(zip(costs, returns, strict=True)):
        if below <= 0.0:
            return float(low + (high - low) * above / (above - below))
    return float("inf")


def windows_inside(results: Mapping[str, BacktestResult], clock: Clock, measuring: Measuring) -> tuple[Window, ...]:
    """Return the known crises of which the tested bars hold at least five days, with what each backtest earned."""
    days = np.concatenate(clock.days()).astype("datetime64[D]")
    daily = {name: np.concatenate(by_day(r, clock, measuring).returns) for name, r in results.items()}
    out = []
    for name, (first, last) in WINDOWS.items():
        inside = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
        if inside.sum() >= 5:
            earned = {n: float(np.prod(1.0 + r[inside]) - 1.0) for n, r in daily.items()}
            out.append(Window(name, str(days[inside].min()), str(days[inside].max()), int(inside.sum()), earned))
    return tuple(out)


def with_correlation(dataset: Dataset, correlation: float) -> Dataset:
    """Return `dataset` in which any two instruments correlate by `correlation`.

    Moves are turned by the symmetric square roots of the two correlation matrices, which changes each as little as
    possible; each instrument keeps its volatility, its gaps between close and open, and what agents see of it
    (features): positions are those of a policy that has not noticed.
    """
    moves = scaled_moves(dataset.market, dataset.point_volatility)
    size = moves.std(axis=0)
    own = (moves - moves.mean(axis=0)) / size
    slots = own.shape[1]
    wanted = np.full((slots, slots), correlation) + (1.0 - correlation) * np.eye(slots)
    turned = own @ _power(own.T @ own / len(own), -0.5) @ _power(wanted, 0.5)
    return _with_moves(dataset, turned * size + moves.mean(axis=0) - moves)


def with_gaps(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """Return `dataset` in which all instruments jump together by 5 deviations, up or down, every 60 bars on average.

    The jump lies between close and open, where nobody can trade; features do not see it.
    """
    bars = len(dataset.market.time)
    jumps = (rng.random(bars) < 1.0 / GAP_EVERY) * np.sign(rng.standard_normal(bars)) * GAP_DEVIATIONS
    jumps[0] = 0.0
    return _with_moves(dataset, np.repeat(jumps[:, None], len(dataset.market.symbols), axis=1))


def _with_moves(dataset: Dataset, extra: Float) -> Dataset:
    """Return `dataset` with `extra` [T, K] volatilities added to the move into each bar, opens and closes alike."""
    market = dataset.market
    scale = np.asarray(dataset.point_volatility)
    before = np.concatenate([scale[:1], scale[:-1]])
    shift = np.zeros_like(before)
    for start, stop in market.history_bounds():
        moved = np.where(market.tradable[start:stop], extra[start:stop] * before[start:stop], 0.0)
        moved[0] = 0.0
        shift[start:stop] = np.cumsum(moved, axis=0)
    prices: Array = market.ohlcv.copy()
    prices[:, :, :4] += shift[:, :, None]
    return replace(dataset, market=replace(market, ohlcv=prices))


def _power(matrix: Float, exponent: float) -> Float:
    """Return a power of a symmetric, positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    out: Float = (vectors * values**exponent) @ vectors.T
    return out
