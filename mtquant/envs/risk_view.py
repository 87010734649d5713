"""What a risk desk measures of its market: covariance, correlation, volatility, ranges, weights; bar by bar, causal."""

import numpy as np
from scipy.stats import norm

from mtquant.config.desk_games import RiskManagementSpec
from mtquant.data.dataset import Dataset
from mtquant.data.kernels import exponential_mean, exponential_sum, hold_last
from mtquant.data.market import CLOSE, HIGH, LOW, Market
from mtquant.data.volatility import scaled_moves
from mtquant.types import Bool, Float, Int

PRIOR_BARS = 20.0
"""Weight, in bars, of the train split's correlation at the start of each history."""
DRIFT_BARS = 250.0
"""The same for no drift at all."""
ATR_HALF_LIFE = 10.0
DAYS_PER_YEAR = 260.0


class RiskView:
    """Tables over the bars of a dataset; exposures are in risk units."""

    def __init__(self, dataset: Dataset, settings: RiskManagementSpec) -> None:
        world, agents = settings.environment, settings.agents
        market = dataset.market
        self.settings = settings
        self.correlation = dataset.correlation
        self.unit_risk = world.target_volatility * dataset.unit_risk
        quantile = float(norm.ppf(world.var_confidence))
        self.daily_risk = world.target_volatility / float(np.sqrt(DAYS_PER_YEAR))
        """Standard deviation of a day of exposure 1."""
        self.unit_value_at_risk = quantile * self.daily_risk
        eps = scaled_moves(market, np.asarray(dataset.point_volatility))
        self.covariance = _covariance(market, eps, world.volatility_half_life, dataset.correlation)
        """[T, K, K] of one bar's moves in units of the dataset's volatility, the last bars counting most."""
        usual = _covariance(market, eps, world.usual_half_life, dataset.correlation)
        self.volatility = np.sqrt(_mean_diagonal(self.covariance))
        """[T] volatility of the last bars, over that of the dataset."""
        self.volatility_ratio = self.volatility / np.sqrt(_mean_diagonal(usual))
        """[T] the same over the usual one."""
        self.mean_correlation = _mean_correlation(self.covariance)
        self.correlation_shock = self.mean_correlation - _mean_correlation(usual)
        monitor = agents.risk_monitor
        self.crisis: Bool = (self.volatility_ratio >= monitor.volatility_shock) | (
            self.correlation_shock >= monitor.correlation_shock_threshold
        )
        """[T] bars at whose close the market, not the portfolio, is in an emergency."""
        self.true_range = _true_range(market)
        """[T, K] average true range, points."""
        count = len(market.symbols)
        self.equal = np.full(count, 1.0 / count)
        self.least_variance = least_variance(usual, agents.portfolio_optimizer.max_weight)
        """[T, K] weights of least variance by the usual covariance."""
        self.kelly = self._kelly(dataset, eps)

    def exposures(self, weights: Float, size: Float) -> Float:
        """Return `[N, K]` exposures of portfolios of `size` [N] risk, by the train split's correlation."""
        risk = np.sqrt(np.einsum("ni,ij,nj->n", weights, self.correlation, weights))
        out: Float = weights * (size / risk)[:, None]
        return out

    def deviation(self, exposure: Float, t: Int) -> Float:
        """Return `[N]` the standard deviation of a day of `exposure` [N, K], as a share of equity."""
        covariance = self.covariance[t]
        variance = ((covariance @ exposure[:, :, None])[:, :, 0] * exposure).sum(axis=1)
        out: Float = self.daily_risk * np.sqrt(np.maximum(variance, 0.0))
        return out

    def value_at_risk(self, exposure: Float, t: Int) -> Float:
        """Return `[N]` the value at risk of a day, as a share of equity, by the latest covariance."""
        return self.unit_value_at_risk / self.daily_risk * self.deviation(exposure, t)

    def matrix(self, t: int) -> Float:
        """Return `[K, K]` the correlation of the last bars."""
        deviation = np.sqrt(np.diagonal(self.covariance[t]))
        out: Float = self.covariance[t] / np.outer(deviation, deviation)
        return out

    def _kelly(self, dataset: Dataset, eps: Float) -> Float:
        """Return `[T]` the size that fractional Kelly asks for: mean over variance of the equal portfolio, in part."""
        market, sizing = dataset.market, self.settings.agents.position_sizing
        unit = self.exposures(self.equal[None], np.ones(1))[0]
        earned = eps @ unit
        mean = np.empty(len(earned))
        for start, stop in market.history_bounds():
            seen = np.arange(1, stop - start + 1)
            mean[start:stop] = np.cumsum(earned[start:stop]) / (seen + DRIFT_BARS)
        rate = sizing.risk_free_rate / market.bars_per_year / self.unit_risk
        variance = np.einsum("i,tij,j->t", unit, self.covariance, unit)
        out: Float = sizing.kelly_fraction * (mean - rate) / (variance * self.unit_risk)
        return np.clip(out, -10.0, 10.0)


def least_variance(covariance: Float, max_weight: float) -> Float:
    """Return `[T, K]` weights of least variance, none negative, none above `max_weight` (at least an equal share).

    The unconstrained solution with what is negative left out and what is too large spread over the others: exact
    where at most one limit binds, and always within the limits.
    """
    count = covariance.shape[-1]
    cap = max(max_weight, 1.0 / count)
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    correlation = covariance / (deviation[:, :, None] * deviation[:, None, :])
    # risk weights: by correlation, because exposures are in risk units already
    raw = np.linalg.solve(correlation + 1e-6 * np.eye(count), np.ones((len(covariance), count, 1)))[:, :, 0]
    weight = np.maximum(raw, 1e-9)
    weight = weight / weight.sum(axis=1, keepdims=True)
    for _ in range(count):
        over = weight >= cap
        rest = 1.0 - cap * over.sum(axis=1)
        free = np.where(over, 0.0, weight)
        total = free.sum(axis=1)
        share = np.where(total > 0, rest / np.where(total > 0, total, 1.0), 0.0)
        weight = np.where(over, cap, free * share[:, None])
    out: Float = weight / weight.sum(axis=1, keepdims=True)
    return out


def _covariance(market: Market, eps: Float, half_life: float, prior: Float) -> Float:
    out = np.empty((*eps.shape, eps.shape[1]))
    for start, stop in market.history_bounds():
        squares = eps[start:stop, :, None] * eps[start:stop, None, :]
        weight = np.ones(stop - start)
        # the first bar of a history has no move: it stands for the prior, whose weight fades like any bar's
        squares[0], weight[0] = PRIOR_BARS * prior, PRIOR_BARS
        total = exponential_sum(squares, half_life)
        out[start:stop] = total / exponential_sum(weight, half_life)[:, None, None]
    # a market that stands still keeps a trace of variance, so that correlations stay defined
    floor: Float = out + 1e-8 * prior
    return floor


def _mean_diagonal(covariance: Float) -> Float:
    out: Float = np.diagonal(covariance, axis1=1, axis2=2).mean(axis=1)
    return out


def _mean_correlation(covariance: Float) -> Float:
    """Return `[T]` the mean over pairs; 0 for one instrument."""
    count = covariance.shape[-1]
    if count == 1:
        return np.zeros(len(covariance))
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    scaled = covariance / (deviation[:, :, None] * deviation[:, None, :])
    out: Float = (scaled.sum(axis=(1, 2)) - count) / (count * (count - 1))
    return out


def _true_range(market: Market) -> Float:
    out = np.empty(market.close.shape)
    for start, stop in market.history_bounds():
        for k in range(len(market.symbols)):
            known = market.tradable[start:stop, k]
            bars = market.ohlcv[start:stop, k][known]
            if not len(bars):
                out[start:stop, k] = 0.0
                continue
            before = np.concatenate([bars[:1, CLOSE], bars[:-1, CLOSE]])
            span = np.maximum(bars[:, HIGH], before) - np.minimum(bars[:, LOW], before)
            out[start:stop, k] = hold_last(exponential_mean(span, ATR_HALF_LIFE), known, stop - start)
    return out
