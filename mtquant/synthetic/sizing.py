"""How large to bet: Kelly, Merton, and a risk agent with five levels, each with its exact value.

Growth of wealth at exposure f is f mu - f^2 sigma^2 / 2 in continuous time (Kelly 1956, Merton 1969); at a fraction
a of Kelly's f* = mu / sigma^2 it is (2 a - a^2) times the largest, with a^2 times its variance. Trading in bars
makes it a little smaller (`bar_growth`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.stats import norm

from mtquant.config.spec import Spec
from mtquant.context import Streams
from mtquant.data.market import Market
from mtquant.data.splits import Splits
from mtquant.synthetic.bars import assemble, bars_from_returns, named_histories, stacked_normal, stacked_uniform
from mtquant.synthetic.catalogue import CATALOGUE, SYMBOLS
from mtquant.types import Float, Int

MOVES = (-2, -1, 0, 1, 2)
"""Levels moved by the five actions: reduce strongly, reduce, hold, increase, increase strongly."""


def kelly(mean: float, variance: float) -> float:
    """Return the exposure of fastest growth, mu / sigma^2."""
    return mean / variance


def kelly_bet(probability: float, odds: float) -> float:
    """Return the share of wealth to bet on winning `odds` per unit with `probability`: p - (1 - p) / b."""
    return probability - (1.0 - probability) / odds


def merton(mean: float, rate: float, risk_aversion: float, variance: float) -> float:
    """Return the share of wealth in the risky asset at constant relative risk aversion: (mu - r) / (gamma sigma^2)."""
    return (mean - rate) / (risk_aversion * variance)


def growth_share(fraction: float) -> float:
    """Return growth at a fraction of Kelly over the largest: 2 a - a^2. A quarter keeps 43.75 %, a half 75 %."""
    return 2.0 * fraction - fraction**2


def bar_growth(exposure: float, mean: float, volatility: float) -> float:
    """Return E ln(1 + f r) per bar for normal r, by Gauss-Hermite quadrature; the discrete f mu - f^2 sigma^2 / 2.

    Outcomes that ruin the account have no logarithm: raises `ValueError` where a node of the rule reaches one.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    wealth = 1.0 + exposure * (mean + volatility * nodes)
    if wealth.min() <= 0.0:
        raise ValueError(f"An exposure of {exposure:g} can lose the whole account in one bar.")
    return float(weights @ np.log(wealth) / np.sqrt(2.0 * np.pi))


class SizingParams(Spec):
    """A chain of volatility regimes and the levels of exposure that a risk agent moves between; daily bars."""

    mean: float = Field(default=0.08, gt=0)
    """Expected return of exposure 1, per year."""
    volatility: tuple[float, ...] = Field(default=(0.10, 0.20), min_length=1)
    """Annual volatility of each regime; the regime is seen."""
    stay: float = Field(default=0.95, gt=0, lt=1)
    """Probability that the regime stays another bar."""
    levels: tuple[float, ...] = Field(default=(0.0, 0.5, 1.0, 1.5, 2.0), min_length=2)
    """Exposures, ascending."""
    fraction: float = Field(default=0.25, gt=0, le=1)
    """Fraction of Kelly that is aimed at; the same as a risk aversion of one over it."""
    cost: float = Field(default=2e-4, ge=0)
    """Cost of moving exposure by 1, as a share of equity."""
    value_at_risk: float = Field(default=0.02, gt=0)
    """Largest value at risk of one bar; higher levels are cut to the highest that is allowed."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the value at risk."""
    bars_per_year: float = Field(default=252.0, gt=0)
    """Bars per year."""

    @property
    def variance(self) -> Float:
        """[V] variance of one bar."""
        out: Float = np.square(np.array(self.volatility)) / self.bars_per_year
        return out

    @property
    def transition(self) -> Float:
        """[V, V] probability from row to column."""
        states = len(self.volatility)
        if states == 1:
            return np.ones((1, 1))
        leave = (1.0 - self.stay) / (states - 1)
        out: Float = leave + (self.stay - leave) * np.eye(states)
        return out

    @property
    def highest(self) -> Int:
        """[V] highest level that the value at risk allows."""
        cap = self.value_at_risk / (norm.ppf(self.confidence) * np.sqrt(self.variance))
        allowed = np.searchsorted(np.array(self.levels), cap, side="right") - 1
        out: Int = np.maximum(allowed, 0)
        return out

    def landed(self, regime: Int, level: Int, action: Int) -> Int:
        """Return the level after `action` [N] (an index of `MOVES`) at `level` [N] in `regime` [N], caps included."""
        moved = np.clip(level + np.array(MOVES)[action], 0, len(self.levels) - 1)
        out: Int = np.minimum(moved, self.highest[regime])
        return out

    def paid(self, regime: Int, level: Int, landed: Int) -> Float:
        """Return `[N]` what a bar is worth: x mu - x^2 sigma^2 / (2 a) - cost |dx|, per bar."""
        exposure, before = np.array(self.levels)[landed], np.array(self.levels)[level]
        risk = 0.5 / self.fraction * self.variance[regime] * exposure**2
        out: Float = exposure * self.mean / self.bars_per_year - risk - self.cost * np.abs(exposure - before)
        return out


@dataclass(frozen=True)
class SizingOptimum:
    """The best of all policies of the chain."""

    action: Int
    """[V, L] action at regime and level."""
    value: float
    """Per bar, on average."""


class SizedMarket(NamedTuple):
    """Bars that follow the chain, with the regime that ruled each."""

    market: Market
    splits: Splits
    regime: Int
    """[T] regime of the bar that follows; only evaluation may read it."""


def sizing_bars(
    params: SizingParams,
    streams: Streams,
    symbols: tuple[str, ...],
    counts: tuple[int, int, int],
    bars: int,
    correlation: float = 0.0,
) -> SizedMarket:
    """Return histories of `bars` daily bars for train, validation and test in which every instrument follows the chain.

    All have the same mean and share one regime; shocks of any two are correlated by `correlation`.
    """
    histories = named_histories(counts)
    draws = stacked_uniform(streams, histories, "regime", (bars + 1, 2))
    states = len(params.volatility)
    # who leaves goes to any other regime alike; the first bar's regime is one of all
    jump = 1 + np.floor(draws[:, :, 1] * (states - 1)).astype(np.int64)
    jump = np.where(draws[:, :, 0] < params.stay, 0, jump)
    jump[:, 0] = np.floor(draws[:, 0, 0] * states).astype(np.int64)
    regime = np.cumsum(jump, axis=1) % states
    deviation = np.sqrt(params.variance)[regime[:, :-1]]
    own = stacked_normal(streams, histories, "shocks", (bars, len(SYMBOLS)))
    shared = stacked_normal(streams, histories, "common", (bars, 1))
    shock = np.sqrt(1.0 - correlation) * own + np.sqrt(correlation) * shared
    returns = params.mean / params.bars_per_year + deviation[:, :, None] * shock
    usual = np.full(len(SYMBOLS), np.sqrt(params.variance.mean()))
    start = np.array([CATALOGUE[s].start_price for s in SYMBOLS])
    ohlcv = bars_from_returns(returns / usual, usual, start, streams, histories)
    clock = ("D1", params.bars_per_year)
    market, splits = assemble(symbols, ohlcv, np.zeros((*ohlcv.shape[:2], 0)), (), clock, counts)
    return SizedMarket(market, splits, np.ascontiguousarray(regime[:, 1:].reshape(-1)))


def solve_sizing(params: SizingParams, tolerance: float = 1e-14) -> SizingOptimum:
    """Return the optimum by relative value iteration (average reward) on the regime x level chain."""
    regimes, levels, moves = len(params.volatility), len(params.levels), len(MOVES)
    grid = np.indices((regimes, levels, moves)).reshape(3, -1)
    landed = params.landed(*grid)
    paid = params.paid(grid[0], grid[1], landed).reshape(regimes, levels, moves)
    value = np.zeros((regimes, levels))
    while True:
        ahead = (params.transition @ value)[grid[0], landed].reshape(paid.shape)
        worth = paid + ahead
        new = worth.max(axis=2)
        gain = new - value
        value = new - new[0, 0]
        if np.ptp(gain) < tolerance:
            return SizingOptimum(worth.argmax(axis=2), float(gain.mean()))


def stationary_value(params: SizingParams, action: Int) -> float:
    """Return the average worth per bar of policy `action` [V, L] from its stationary distribution."""
    regimes, levels = action.shape
    regime, level = np.indices(action.shape).reshape(2, -1)
    landed = params.landed(regime, level, action.reshape(-1))
    paid = params.paid(regime, level, landed)
    chain = np.zeros((len(regime), len(regime)))
    for state, (v, to) in enumerate(zip(regime, landed, strict=True)):
        chain[state, np.arange(regimes) * levels + to] = params.transition[v]
    # From level 0 of the first regime: what is never reached does not count.
    weight = np.zeros(len(regime))
    weight[0] = 1.0
    # The lazy chain has the same stationary distribution and no period; squaring it reaches 2^60 bars.
    chain = 0.5 * (chain + np.eye(len(regime)))
    for _ in range(60):
        chain = chain @ chain
        chain /= chain.sum(axis=1, keepdims=True)
    return float(weight @ chain @ paid)
