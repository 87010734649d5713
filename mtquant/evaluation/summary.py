"""Every documented measure of one backtest, as a flat dict of numbers.

Several passes (test histories, segments) are pooled. Returns are compounded to UTC days first; ratios and
means use the days of all passes together. Drawdown is the deepest of any pass and is followed bar by bar. Win
windows never span two passes. Shares of bars count the bars of all passes. Names, units and definitions of
all keys: `mtquant.evaluation.measures`.
"""

import math

import numpy as np

from mtquant import metrics
from mtquant.config.risk import LimitsSpec
from mtquant.errors import DataError
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Clock, Days, Measuring, by_day, common_clock, cut, utility
from mtquant.sim.limits import build_limits, correlation_exposure
from mtquant.types import Bool, Float

ACTIVE = 0.05
"""Stand-alone risk, in units of exposure 1, from which a specialist counts as active."""


def summarise(
    result: BacktestResult, measuring: Measuring, *, clock: Clock | None = None, equal: BacktestResult | None = None
) -> dict[str, float]:
    """Return all measures of `result`; NaN where one is undefined.

    `clock` is that of the compared backtests (default: its own). `equal` is a pass of the same specialists
    with equal budgets over the same bars; with it the allocation measures are added. Raises `DataError` where
    the correlation does not fit the instruments.
    """
    slots = len(result.symbols)
    if measuring.correlation.shape != (slots, slots):
        raise DataError(f"{slots} instruments need a {slots} x {slots} correlation, not {measuring.correlation.shape}.")
    clock = clock or common_clock([result] if equal is None else [result, equal])
    result = clock.fit(result)
    days = by_day(result, clock, measuring)
    out = _returns(result, days, clock, measuring)
    out |= _risk(result, days, measuring)
    out |= _activity(result, clock, measuring)
    out |= _specialists(result, clock, measuring)
    out |= _instruments(result, clock)
    if equal is not None:
        out |= allocation(result, equal, clock, measuring)
    return out


def allocation(result: BacktestResult, equal: BacktestResult, clock: Clock, measuring: Measuring) -> dict[str, float]:
    """Return how the budgets did against equal budgets of the same specialists.

    `allocation_efficiency`: realised utility over that of equal budgets; NaN unless the latter is above zero.
    `allocation_gain`: the difference, as certainty-equivalent return per year.
    """
    own, even = (np.concatenate(cut(utility(clock.fit(r), measuring), clock.alive)).mean() for r in (result, equal))
    per_year = measuring.unit_risk * clock.bars_per_year
    return {
        "allocation_efficiency": float(own / even) if even > 0 else math.nan,
        "allocation_gain": float(own - even) * per_year,
    }


def deepest_drawdown(returns: list[Float]) -> float:
    """Return the deepest drawdown of any pass `[S_n]`."""
    return max((float(metrics.max_drawdown(metrics.wealth(r))) for r in returns), default=math.nan)


def win_windows(returns: list[Float], horizon_bars: int) -> tuple[int, int]:
    """Return windows won and windows with a position, over all passes `[S_n]`."""
    windows = [metrics.window_returns(r, horizon_bars) for r in returns]
    won = sum(int((w > 0.0).sum()) for w in windows)
    return won, sum(int((~np.isnan(w)).sum()) for w in windows)


def _returns(result: BacktestResult, days: Days, clock: Clock, measuring: Measuring) -> dict[str, float]:
    bars = cut(result.returns, clock.alive)
    pooled = np.concatenate(days.returns)
    year, free = days.per_year, measuring.risk_free_rate
    deepest = deepest_drawdown(bars)
    growth = float(metrics.growth_rate(pooled, year))
    won, windows = win_windows(bars, measuring.win_horizon_bars)
    by_pass = [float(metrics.sharpe(r, year, free)) for r in days.returns]
    size = max(1, round(year))
    calendar = [metrics.window_returns(r, size) for r in days.returns]
    years = np.concatenate(calendar) if calendar else np.empty(0)
    years = np.where(np.isnan(years), 0.0, years)
    utilities = np.concatenate(days.utility)
    return {
        "sharpe": float(metrics.sharpe(pooled, year, free)),
        "sharpe_standard_error": float(metrics.sharpe_standard_error(pooled, year)),
        "sortino": float(metrics.sortino(pooled, year, free)),
        "calmar": growth / deepest if deepest > 0 else math.nan,
        "annual_return": float(metrics.mean_return(pooled, year)),
        "annual_growth": growth,
        "annual_volatility": float(metrics.volatility(pooled, year)),
        "max_drawdown": deepest,
        "win_rate": won / windows if windows else math.nan,
        "win_horizon_bars": float(measuring.win_horizon_bars),
        "profit_factor": float(metrics.profit_factor(pooled)),
        "utility": float(utilities.sum() / clock.alive.sum()),
        "sharpe.worst_pass": min(by_pass) if len(by_pass) > 1 else math.nan,
        "sharpe.best_pass": max(by_pass) if len(by_pass) > 1 else math.nan,
        "worst_year": float(years.min()) if len(years) else math.nan,
        "years_above_zero": float((years > 0.0).mean()) if len(years) else math.nan,
        "years": clock.years,
        "passes": float(len(bars)),
        "passes_ruined": float((clock.alive & ~result.alive).any(axis=0).sum()),
    }


def _risk(result: BacktestResult, days: Days, measuring: Measuring) -> dict[str, float]:
    pooled, stated = np.concatenate(days.returns), np.concatenate(days.value_at_risk)
    bars = result.value_at_risk[result.alive]
    at_risk = stated > 0.0
    exceeded, trials = int(metrics.exceedances(pooled, stated)), int(at_risk.sum())
    # only the correlation of these limits is used
    limits = build_limits(LimitsSpec(), measuring.correlation, result.group_of, 1.0, joint=False)
    pairs = correlation_exposure(result.exposure[result.alive], limits, np)
    return {
        "var_compliance": float(metrics.compliance(bars, measuring.var_limit)),
        "var_mean": float(bars.mean()) if len(bars) else math.nan,
        "var_max": float(bars.max()) if len(bars) else math.nan,
        "var_exceeded": exceeded / trials if trials else math.nan,
        "var_exceeded_expected": 1.0 - measuring.var_confidence,
        "var_kupiec_p": metrics.kupiec(exceeded, trials, 1.0 - measuring.var_confidence),
        "var_limit_exceeded": float((-pooled > measuring.var_limit).mean()),
        "correlation_exposure_mean": float(pairs.mean()) if len(pairs) else math.nan,
        "correlation_exposure_max": float(pairs.max()) if len(pairs) else math.nan,
    }


def _activity(result: BacktestResult, clock: Clock, measuring: Measuring) -> dict[str, float]:
    alive, year = result.alive, clock.bars_per_year
    capital = np.where(alive, result.equity[:-1], 1.0)
    gross = result.gross.sum(axis=2) / capital
    cost = result.cost.sum(axis=2) / capital
    earned, paid = float(gross[alive].sum()), float(cost[alive].sum())
    exposure = result.exposure[alive]
    active = exposure != 0.0
    won = (result.gross[alive] > 0.0) & active
    risk = np.sqrt(np.maximum(np.einsum("bi,ij,bj->b", exposure, measuring.correlation, exposure), 0.0))
    bars = int(clock.alive.sum())
    return {
        "turnover": float(np.abs(result.trade[alive]).sum()) / bars * year,
        "gross_per_year": earned / bars * year,
        "cost_per_year": paid / bars * year,
        "cost_share_of_gross": paid / earned if earned > 0 else math.nan,
        "gross_exposure": float(np.abs(exposure).sum()) / bars,
        "ex_ante_volatility": float(np.sqrt((risk**2).sum() / bars)) * measuring.unit_risk * math.sqrt(year),
        "hit_rate": float(won.sum() / active.sum()) if active.any() else math.nan,
        "projection_share": float((result.projection[alive] > 1e-9).sum()) / bars,
        "projection_mean": float(result.projection[alive].sum()) / bars,
        "breaker_share": float((result.breaker[alive] > 0).sum()) / bars,
        "stops_per_year": float(result.stops[alive].sum()) / bars * year,
    }


def _specialists(result: BacktestResult, clock: Clock, measuring: Measuring) -> dict[str, float]:
    """Share of time, of risk (x_g'(Rx) / x'Rx, summed before dividing) and of budget of each group."""
    exposure = result.exposure[result.alive]
    marginal = exposure * (exposure @ measuring.correlation)
    total = float(marginal.sum())
    out, shares = {}, []
    for index, group in enumerate(result.groups):
        inside = _members(result, index)
        own = exposure[:, inside]
        size = np.sqrt(np.maximum(np.einsum("bi,ij,bj->b", own, measuring.correlation[np.ix_(inside, inside)], own), 0))
        share = float(marginal[:, inside].sum()) / total if total > 0 else math.nan
        shares.append(share)
        out[f"specialist.{group}.active"] = float((size > ACTIVE).sum() / clock.alive.sum())
        out[f"specialist.{group}.risk_share"] = share
        profit = _profit(result, inside)
        out[f"specialist.{group}.sharpe"] = _sharpe(profit, clock)
        out[f"specialist.{group}.annual_return"] = float(profit[clock.alive].mean()) * clock.bars_per_year
        if result.budgets is not None:
            out[f"specialist.{group}.budget"] = float(result.budgets[result.alive][:, index].mean())
    if result.appetite is not None:
        out["appetite_mean"] = float(result.appetite[result.alive].mean())
    positive = np.maximum(shares, 0.0)
    positive = positive[positive > 0] / positive.sum() if np.isfinite(shares).all() else np.empty(0)
    out["specialists_effective"] = float(np.exp(-(positive * np.log(positive)).sum())) if len(positive) else math.nan
    return out


def _instruments(result: BacktestResult, clock: Clock) -> dict[str, float]:
    out = {}
    for k, symbol in enumerate(result.symbols):
        profit = _profit(result, np.arange(len(result.symbols)) == k)
        out[f"instrument.{symbol}.sharpe"] = _sharpe(profit, clock)
        out[f"instrument.{symbol}.annual_return"] = float(profit[clock.alive].mean()) * clock.bars_per_year
    return out


def _members(result: BacktestResult, group: int) -> Bool:
    out: Bool = np.asarray(result.group_of) == group
    return out


def _profit(result: BacktestResult, columns: Bool) -> Float:
    """Return `[S, N]` net profit of some instruments as a share of the account's equity."""
    capital = np.where(result.alive, result.equity[:-1], 1.0)
    net = (result.gross - result.cost)[:, :, columns].sum(axis=2)
    out: Float = np.where(result.alive, net / capital, 0.0)
    return out


def _sharpe(profit: Float, clock: Clock) -> float:
    """Return the Sharpe ratio of `profit` [S, N], summed by day and pooled."""
    return float(metrics.sharpe(np.concatenate(clock.daily_sums(profit)), clock.days_per_year))
