"""The embedded market: signals hidden in prices, hidden regimes, correlated instruments, a known optimum.

eps_{t+1} = alpha_t + u_{t+1}, alpha_{i,t} = m_{G(i)}(s_t) (b_s z^slow_{i,t} - b_f z^fast_{i,t}), with z the
exponential means of the instrument's own past eps, s a hidden Markov regime that favours one group, and
macro columns y_t = mu e(s_t) + n_t as its only direct observation.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from mtquant.config.spec import Spec
from mtquant.context import Streams
from mtquant.synthetic.bars import (
    HistoryNames,
    assemble,
    bars_from_returns,
    named_histories,
    stacked_normal,
    stacked_uniform,
)
from mtquant.synthetic.catalogue import CATALOGUE, GROUPS, SYMBOLS, membership, shock_correlation
from mtquant.synthetic.planted import Objective, Planted, Truth, pick
from mtquant.types import Float, Int

MACRO_NAMES = tuple(f"macro_{group}" for group in GROUPS)


class EmbeddedParams(Spec):
    """Every parameter of the embedded market; values are per bar unless a year is named."""

    train_histories: int = Field(default=46, ge=0)
    """Independent histories to train on."""
    validation_histories: int = Field(default=4, ge=0)
    """Independent histories for model choice."""
    test_histories: int = Field(default=8, ge=0)
    """Independent histories that stay untouched."""
    history_bars: int = Field(default=2600, ge=1)
    """Bars of one history (ten years of days)."""
    burn_in: int = Field(default=300, ge=0)
    """Bars simulated before each history and discarded, so that the signals start stationary."""
    timeframe: Literal["D1", "H1"] = "D1"
    """Bar length printed on the clock."""
    bars_per_year: float = Field(default=260.0, gt=0)
    """Bars per year."""
    target_volatility: float = Field(default=0.10, gt=0)
    """Annual volatility of exposure 1.0."""
    risk_aversion: float = Field(default=20.0, gt=0)
    """Annual risk aversion of the objective."""
    impact: float = Field(default=0.8, gt=0)
    """Quadratic impact l, the same for every instrument in risk units."""
    half_life_slow: float = Field(default=24.0, gt=0)
    """Half-life of the slow signal, bars."""
    half_life_fast: float = Field(default=2.5, gt=0)
    """Half-life of the fast signal, bars."""
    edge_slow: float = 0.0625
    """b_s: momentum of the slow signal."""
    edge_fast: float = 0.0865
    """b_f: reversal of the fast signal (enters with a minus)."""
    edge_scale: float = Field(default=1.0, ge=0)
    """Multiplies both edges; 0 leaves no signal."""
    regimes: bool = True
    """Whether the edge moves between groups; False sets every multiplier to 1."""
    favoured: float = Field(default=2.05, ge=0)
    """Multiplier m of the favoured group's edge."""
    unfavoured: float = Field(default=0.475, ge=0)
    """Multiplier m of the other groups' edge."""
    stay: float = Field(default=0.985, gt=0, lt=1)
    """Probability that the regime stays another bar."""
    macro_mean: float = Field(default=0.6, ge=0)
    """mu: how far the favoured group's macro column is lifted above its unit noise."""
    correlation_scale: float = Field(default=1.0, ge=0, le=1)
    """Multiplies all correlations of shocks; 0 makes instruments independent."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Histories of train, validation and test."""
        return self.train_histories, self.validation_histories, self.test_histories

    @property
    def theta(self) -> Float:
        """[2] decay of the slow and the fast signal."""
        decay: Float = np.exp2(-1.0 / np.array([self.half_life_slow, self.half_life_fast]))
        return decay

    @property
    def gain(self) -> Float:
        """[2] weight of a new return in each signal; gives unit variance on white returns."""
        weight: Float = np.sqrt(1.0 - self.theta**2)
        return weight

    @property
    def edges(self) -> Float:
        """[2] edge per unit of the slow and the fast signal."""
        edge: Float = self.edge_scale * np.array([self.edge_slow, -self.edge_fast])
        return edge

    @property
    def multipliers(self) -> Float:
        """[3 regimes, 3 groups] multiplier of the edge."""
        if not self.regimes:
            return np.ones((len(GROUPS), len(GROUPS)))
        matrix: Float = self.unfavoured + (self.favoured - self.unfavoured) * np.eye(len(GROUPS))
        return matrix

    @property
    def transition(self) -> Float:
        """[3, 3] probability from row to column."""
        states = len(GROUPS)
        leave = (1.0 - self.stay) / (states - 1)
        matrix: Float = leave + (self.stay - leave) * np.eye(states)
        return matrix

    @property
    def volatility(self) -> Float:
        """[8] one-bar volatility of each catalogue instrument."""
        annual = np.array([CATALOGUE[s].annual_volatility for s in SYMBOLS])
        scaled: Float = annual / np.sqrt(self.bars_per_year)
        return scaled

    @property
    def objective(self) -> Objective:
        """Objective of the optimum."""
        return Objective(self.risk_aversion, self.impact, self.target_volatility, self.bars_per_year)


def generate(params: EmbeddedParams, streams: Streams, symbols: Sequence[str] | None = None) -> Planted:
    """Generate the market with its three splits.

    Every (split, history) has streams of its own for regime, macro, shocks, range and volume: changing the
    number of one split's histories changes no other, a longer history begins with the shorter one, and
    selecting `symbols` changes no price.
    """
    return _generate(params, streams, symbols, named_histories(params.counts), params.counts, params.history_bars)


def generate_paths(
    params: EmbeddedParams, streams: Streams, n_paths: int, n_bars: int, symbols: Sequence[str] | None = None
) -> Planted:
    """Generate `n_paths` fresh histories of `n_bars` bars (warm-up included) as the test split; others are empty.

    They come from streams of their own, so no training or test history is seen again.
    """
    histories = [("paths", i) for i in range(n_paths)]
    return _generate(params, streams, symbols, histories, (0, 0, n_paths), n_bars)


def _generate(
    params: EmbeddedParams,
    streams: Streams,
    symbols: Sequence[str] | None,
    histories: HistoryNames,
    counts: tuple[int, int, int],
    bars: int,
) -> Planted:
    chosen = pick(symbols, SYMBOLS, "embedded")
    total = params.burn_in + bars
    regime = _regimes(params, streams, histories, total)
    macro = params.macro_mean * np.eye(len(GROUPS))[regime]
    macro = macro + stacked_normal(streams, histories, "macro", (total, len(GROUPS)))
    posterior = filter_regime(params, macro)
    eps, alpha = _returns(params, streams, histories, regime)
    keep = slice(params.burn_in, None)
    start = np.array([CATALOGUE[s].start_price for s in SYMBOLS])
    ohlcv = bars_from_returns(eps[:, keep], params.volatility, start, streams, histories)
    clock = (params.timeframe, params.bars_per_year)
    market, splits = assemble(chosen, ohlcv, macro[:, keep], MACRO_NAMES, clock, counts)
    columns = [SYMBOLS.index(s) for s in chosen]
    groups, group_of = membership(chosen)
    truth = Truth(
        chosen,
        groups,
        group_of,
        np.ascontiguousarray(alpha[:, keep][:, :, columns].reshape(-1, len(chosen))),
        np.ascontiguousarray(regime[:, keep].reshape(-1)),
        np.ascontiguousarray(posterior[:, keep].reshape(-1, len(GROUPS))),
        shock_correlation(params.correlation_scale)[np.ix_(columns, columns)],
        params.volatility[columns],
        params.objective,
        params,
    )
    return Planted(market, splits, truth)


def _regimes(params: EmbeddedParams, streams: Streams, histories: HistoryNames, bars: int) -> Int:
    """Return `[H, bars]` regimes, stationary from the first bar."""
    states = len(GROUPS)
    draws = stacked_uniform(streams, histories, "regime", (bars,))
    leave = (1.0 - params.stay) / (states - 1)
    # A jump goes to one of the other states alike, so the path is a running sum of steps modulo the states.
    steps = np.where(draws < params.stay, 0, 1 + np.floor((draws - params.stay) / leave)).astype(np.int64)
    steps = np.minimum(steps, states - 1)
    steps[:, 0] = np.floor(draws[:, 0] * states).astype(np.int64)
    path: Int = np.cumsum(steps, axis=1) % states
    return path


def filter_regime(params: EmbeddedParams, macro: Float) -> Float:
    """Return `[H, T, 3]` the probability of each regime given `macro [H, T, 3]` up to t, from 1/3 at the start."""
    likelihood = np.exp(params.macro_mean * macro)
    posterior = np.empty_like(macro)
    belief = np.full((len(macro), len(GROUPS)), 1.0 / len(GROUPS))
    leave = (1.0 - params.stay) / (len(GROUPS) - 1)
    for t in range(macro.shape[1]):
        belief = (leave + (params.stay - leave) * belief) * likelihood[:, t]
        belief /= belief.sum(axis=1, keepdims=True)
        posterior[:, t] = belief
    return posterior


def _returns(params: EmbeddedParams, streams: Streams, histories: HistoryNames, regime: Int) -> tuple[Float, Float]:
    """Return eps and alpha `[H, bars, 8]`; alpha at t is the mean of eps at t + 1."""
    bars = regime.shape[1]
    root = np.linalg.cholesky(shock_correlation(params.correlation_scale))
    normal = stacked_normal(streams, histories, "shocks", (bars, len(SYMBOLS)))
    # Not a matrix product: BLAS may round differently for another number of bars, and histories must be prefixes.
    shocks = np.einsum("htj,ij->hti", normal, root)
    group_of = [GROUPS.index(CATALOGUE[s].group) for s in SYMBOLS]
    multiplier = params.multipliers[:, group_of][regime]
    (slow_decay, fast_decay), (slow_gain, fast_gain) = params.theta, params.gain
    slow_edge, fast_edge = params.edges
    slow, fast, edge = (np.zeros_like(shocks[:, 0]) for _ in range(3))
    eps, alpha = np.empty_like(shocks), np.empty_like(shocks)
    for t in range(bars):
        move = edge + shocks[:, t]
        slow = slow_decay * slow + slow_gain * move
        fast = fast_decay * fast + fast_gain * move
        edge = multiplier[:, t] * (slow_edge * slow + fast_edge * fast)
        eps[:, t], alpha[:, t] = move, edge
    return eps, alpha
