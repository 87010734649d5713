"""Performance measures: pure functions of numpy arrays.

`returns` are simple returns per bar, `[S]` or `[S, N]`; every measure reduces the first axis and keeps the
others. `equity` has one row more than the returns it came from. A NaN in the input gives NaN, and so does a
measure that is undefined (no variance, no loss, no window); nothing is replaced by zero or infinity.
Standard deviations have one degree of freedom taken off. A spread below 1e-12 of the largest return is
rounding and counts as none.
"""

import math

import numpy as np

from mtquant.types import Array, Float

ROUNDING = 1e-12


def _ratio(top: Array, bottom: Array) -> Float:
    """Return top / bottom, NaN where bottom is not above zero."""
    above = np.asarray(bottom) > 0
    out: Float = np.where(above, np.asarray(top) / np.where(above, bottom, 1.0), np.nan)
    return out


def _deviation(returns: Float) -> Float:
    if len(returns) < 2:
        return np.full(np.shape(returns)[1:], np.nan)
    spread = np.std(returns, axis=0, ddof=1)
    out: Float = np.where(spread > ROUNDING * np.abs(returns).max(axis=0), spread, 0.0 * spread)
    return out


def mean_return(returns: Float, bars_per_year: float) -> Float:
    """Return the arithmetic mean return per year; NaN without bars."""
    if len(returns) == 0:
        return np.full(np.shape(returns)[1:], np.nan)
    out: Float = np.mean(returns, axis=0) * bars_per_year
    return out


def growth_rate(returns: Float, bars_per_year: float) -> Float:
    """Return the compound growth per year, -1 after a total loss; NaN without bars."""
    if len(returns) == 0:
        return np.full(np.shape(returns)[1:], np.nan)
    lost = np.any(returns <= -1.0, axis=0)
    logs = np.log1p(np.where(returns <= -1.0, 0.0, returns))
    out: Float = np.where(lost, -1.0, np.expm1(np.mean(logs, axis=0) * bars_per_year))
    return out


def volatility(returns: Float, bars_per_year: float) -> Float:
    """Return the standard deviation of returns per square root of a year; NaN below two bars."""
    out: Float = _deviation(returns) * math.sqrt(bars_per_year)
    return out


def sharpe(returns: Float, bars_per_year: float, risk_free_rate: float = 0.0) -> Float:
    """Return the annualised Sharpe ratio of the excess over `risk_free_rate` a year.

    NaN below two bars or without variance. Sharpe (1994).
    """
    excess = returns - risk_free_rate / bars_per_year
    return _ratio(mean_return(excess, bars_per_year), volatility(returns, bars_per_year))


def sharpe_standard_error(returns: Float, bars_per_year: float) -> Float:
    """Return the standard error of the annualised Sharpe ratio, with skew and (raw) kurtosis, returns independent.

    NaN below three bars or without variance. Mertens (2002); Bailey and Lopez de Prado (2012).
    """
    spread = _deviation(returns)
    if len(returns) < 3:
        return np.full(np.shape(spread), np.nan)
    z = _ratio(returns - np.mean(returns, axis=0), np.broadcast_to(spread, np.shape(returns)))
    ratio = _ratio(np.mean(returns, axis=0), spread)
    variance = 1.0 - np.mean(z**3, axis=0) * ratio + (np.mean(z**4, axis=0) - 1.0) / 4.0 * ratio**2
    out: Float = np.sqrt(np.maximum(variance, 0.0) / (len(returns) - 1) * bars_per_year)
    return out


def sortino(returns: Float, bars_per_year: float, risk_free_rate: float = 0.0) -> Float:
    """Return the annualised mean excess over the root mean square of its negative part (all bars counted).

    NaN where no bar lost. Sortino and Price (1994).
    """
    excess = returns - risk_free_rate / bars_per_year
    if len(returns) == 0:
        return np.full(np.shape(returns)[1:], np.nan)
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2, axis=0) * bars_per_year)
    return _ratio(mean_return(excess, bars_per_year), downside)


def wealth(returns: Float) -> Float:
    """Return `[S + 1, ...]` the value of 1 compounded; row 0 is 1. After a total loss it stays 0."""
    start = np.ones((1, *np.shape(returns)[1:]))
    out: Float = np.concatenate([start, np.cumprod(np.maximum(1.0 + returns, 0.0), axis=0)])
    return out


def drawdown(equity: Float) -> Float:
    """Return `[S + 1, ...]` the share of the running peak that is lost, in [0, 1]; a debt counts as 1.

    Equity must start above zero.
    """
    peak = np.maximum.accumulate(equity, axis=0)
    out: Float = np.clip(1.0 - equity / peak, 0.0, 1.0)
    return out


def max_drawdown(equity: Float) -> Float:
    """Return the deepest drawdown, in [0, 1]; NaN without equity."""
    if len(equity) == 0:
        return np.full(np.shape(equity)[1:], np.nan)
    out: Float = drawdown(equity).max(axis=0)
    return out


def calmar(returns: Float, bars_per_year: float) -> Float:
    """Return compound growth per year over the deepest drawdown; NaN where nothing was ever lost. Young (1991)."""
    return _ratio(growth_rate(returns, bars_per_year), max_drawdown(wealth(returns)))


def window_returns(returns: Float, horizon_bars: int) -> Float:
    """Return `[S // horizon_bars, ...]` compounded returns of windows that do not overlap; the rest is dropped.

    A window in which every return is exactly zero (no position) is NaN.
    """
    if horizon_bars < 1:
        raise ValueError(f"The horizon of a win rate is at least 1 bar; {horizon_bars} was given.")
    count = len(returns) // horizon_bars
    shape = (count, horizon_bars, *np.shape(returns)[1:])
    windows = np.reshape(returns[: count * horizon_bars], shape)
    total = np.prod(1.0 + windows, axis=1) - 1.0
    out: Float = np.where(np.all(windows == 0.0, axis=1), np.nan, total)
    return out


def win_rate(returns: Float, horizon_bars: int) -> Float:
    """Return the share of windows of `horizon_bars` bars (see `window_returns`) that ended above zero.

    Windows without a position are left out; NaN if none is left. A win rate without its horizon means
    nothing: a Gaussian strategy of Sharpe S wins Phi(S sqrt(h / bars_per_year)) of its windows.
    """
    windows = window_returns(returns, horizon_bars)
    held = np.sum(~np.isnan(windows), axis=0)
    return _ratio(np.sum(windows > 0.0, axis=0) + 0.0 * np.sum(returns, axis=0), held)


def profit_factor(returns: Float) -> Float:
    """Return the sum of gains over the sum of losses, bar by bar; NaN where no bar lost."""
    return _ratio(np.sum(np.maximum(returns, 0.0), axis=0), np.sum(np.maximum(-returns, 0.0), axis=0))


def turnover(trade: Float, bars_per_year: float) -> Float:
    """Return traded exposure per year, sum of |dx|, from `trade` [S, ...]; the unit is that of `trade`."""
    return mean_return(np.abs(trade), bars_per_year)


def compliance(value_at_risk: Float, limit: float) -> Float:
    """Return the share of bars whose ex-ante value at risk is within `limit` (1e-9 relative rounding allowed).

    NaN without bars.
    """
    return mean_return((value_at_risk <= limit * (1.0 + 1e-9)).astype(np.float64), 1.0)


def exceedances(returns: Float, value_at_risk: Float) -> Float:
    """Return the number of bars that lost more than the value at risk stated before; bars without risk never do."""
    out: Float = np.sum((-returns > value_at_risk) & (value_at_risk > 0.0), axis=0).astype(np.float64)
    return out


def bernoulli_log_likelihood(successes: int, trials: int, rate: float) -> float:
    """Return ln(rate^successes (1 - rate)^(trials - successes)), with 0 ln 0 = 0."""
    failures = trials - successes
    inside = failures * math.log1p(-rate) if failures else 0.0
    return inside + (successes * math.log(rate) if successes else 0.0)


def kupiec_ratio(exceeded: int, trials: int, expected: float) -> float:
    """Return the likelihood ratio that `exceeded` of `trials` disagrees with the rate `expected`, 0 < expected < 1.

    Proportion of failures; chi-squared with one degree of freedom where both agree. NaN without trials.
    Kupiec (1995).
    """
    if not 0.0 < expected < 1.0 or not 0 <= exceeded <= trials:
        raise ValueError(f"{exceeded} of {trials} exceedances at an expected rate of {expected} is not possible.")
    if trials == 0:
        return math.nan
    found = bernoulli_log_likelihood(exceeded, trials, exceeded / trials)
    return max(2.0 * (found - bernoulli_log_likelihood(exceeded, trials, expected)), 0.0)


def kupiec(exceeded: int, trials: int, expected: float) -> float:
    """Return the p-value of `kupiec_ratio`: too many and too few exceedances both give a small one."""
    return math.erfc(math.sqrt(kupiec_ratio(exceeded, trials, expected) / 2.0))
