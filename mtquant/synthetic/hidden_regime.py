"""Hidden-regime market: the mean return of each group depends on a regime that is only seen through noise.

eps_{t+1} = mu(s_t) + u_{t+1}, Corr u = R, s a two-state Markov chain; the one macro column y_t = +-1 names the
regime correctly with a given probability. There are no costs and no other signals, so the whole problem is to
remember y well and to allocate by the belief.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from mtquant.config.spec import Spec
from mtquant.context import Streams
from mtquant.errors import ConfigError
from mtquant.synthetic.bars import (
    HistoryNames,
    assemble,
    bars_from_returns,
    named_histories,
    stacked_normal,
    stacked_uniform,
)
from mtquant.synthetic.catalogue import CATALOGUE, GROUPS, SYMBOLS, membership
from mtquant.synthetic.planted import Objective, Planted, Truth, pick
from mtquant.types import Float, Int

MACRO_NAMES = ("macro_regime",)
Means = tuple[float, float, float]


DESKS = ("EURUSD", "XAUUSD", "SPX500")
"""Instruments of the market where none are named: one of each group."""


class RegimeParams(Spec):
    """Every parameter of the hidden-regime market; values are per bar unless a year is named."""

    train_histories: int = Field(default=46, ge=0)
    """Independent histories to train on."""
    validation_histories: int = Field(default=4, ge=0)
    """Independent histories for model choice."""
    test_histories: int = Field(default=8, ge=0)
    """Independent histories that stay untouched."""
    history_bars: int = Field(default=2600, ge=1)
    """Bars of one history."""
    bars_per_year: float = Field(default=252.0, gt=0)
    """Bars per year."""
    target_volatility: float = Field(default=0.10, gt=0)
    """Annual volatility of exposure 1.0."""
    annual_volatility: float = Field(default=0.10, gt=0)
    """Annual volatility of every instrument."""
    first_means: Means = (0.16, 0.02, -0.06)
    """Mean return of each group in the first regime, over its volatility."""
    second_means: Means = (-0.06, 0.10, 0.14)
    """The same in the second regime."""
    stay: float = Field(default=0.98, gt=0, lt=1)
    """Probability that the regime stays another bar."""
    accuracy: float = Field(default=0.85, ge=0.5, lt=1)
    """Probability that the macro column names the regime correctly."""
    correlation: float = Field(default=0.3, ge=0, lt=1)
    """Correlation of the shocks of any two instruments."""
    risk_aversion_per_bar: float = Field(default=0.12, gt=0)
    """g, in units of u0."""
    position_cap: float = Field(default=1.0, gt=0)
    """Largest exposure of one instrument; none may be negative."""
    gross_cap: float = Field(default=1.5, gt=0)
    """Largest sum of exposures."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Histories of train, validation and test."""
        return self.train_histories, self.validation_histories, self.test_histories

    @property
    def means(self) -> Float:
        """[2 regimes, 3 groups] mean returns."""
        return np.array([self.first_means, self.second_means])

    @property
    def transition(self) -> Float:
        """[2, 2] probability from row to column."""
        return np.array([[self.stay, 1.0 - self.stay], [1.0 - self.stay, self.stay]])

    @property
    def likelihood(self) -> Float:
        """[2 observations, 2 regimes] probability of y = -1 and y = +1."""
        return np.array([[self.accuracy, 1.0 - self.accuracy], [1.0 - self.accuracy, self.accuracy]])

    @property
    def objective(self) -> Objective:
        """Objective of the optimum."""
        unit_risk = self.target_volatility / np.sqrt(self.bars_per_year)
        return Objective(
            float(self.risk_aversion_per_bar / unit_risk),
            0.0,
            self.target_volatility,
            self.bars_per_year,
            action_range=1.0,
            position_cap=self.position_cap,
            gross_cap=self.gross_cap,
        )


def generate(params: RegimeParams, streams: Streams, symbols: Sequence[str] | None = None) -> Planted:
    """Generate the market with its three splits; streams are named as in the embedded market."""
    return _generate(params, streams, symbols, named_histories(params.counts), params.counts, params.history_bars)


def generate_paths(
    params: RegimeParams, streams: Streams, n_paths: int, n_bars: int, symbols: Sequence[str] | None = None
) -> Planted:
    """Generate `n_paths` fresh histories of `n_bars` bars as the test split; the others are empty."""
    histories = [("paths", i) for i in range(n_paths)]
    return _generate(params, streams, symbols, histories, (0, 0, n_paths), n_bars)


def filter_regime(params: RegimeParams, macro: Float) -> Float:
    """Return `[H, T, 2]` the probability of each regime given y `[H, T]` up to t (Hamilton 1989), from 1/2 each."""
    seen = (macro > 0).astype(np.int64)
    posterior = np.empty((*macro.shape, 2))
    belief = np.full((len(macro), 2), 0.5)
    for t in range(macro.shape[1]):
        # The first observation meets the stationary belief, which the transition leaves as it is.
        belief = np.einsum("hi,ij->hj", belief, params.transition) * params.likelihood[seen[:, t]]
        belief /= belief.sum(axis=1, keepdims=True)
        posterior[:, t] = belief
    return posterior


def _generate(
    params: RegimeParams,
    streams: Streams,
    symbols: Sequence[str] | None,
    histories: HistoryNames,
    counts: tuple[int, int, int],
    bars: int,
) -> Planted:
    chosen = _desks(pick(DESKS if symbols is None else symbols, SYMBOLS, "hidden-regime"))
    columns = [SYMBOLS.index(s) for s in chosen]
    # One bar before the first, so that the first return already has its regime.
    regime = _regimes(params, streams, histories, bars + 1)
    correct = stacked_uniform(streams, histories, "macro", (bars,)) < params.accuracy
    macro = np.where(correct, 1.0, -1.0) * (2.0 * regime[:, 1:] - 1.0)
    alpha = params.means[:, [GROUPS.index(CATALOGUE[s].group) for s in SYMBOLS]][regime]
    own = stacked_normal(streams, histories, "shocks", (bars, len(SYMBOLS)))
    shared = stacked_normal(streams, histories, "common", (bars, 1))
    eps = alpha[:, :-1] + np.sqrt(1.0 - params.correlation) * own + np.sqrt(params.correlation) * shared
    volatility = np.full(len(SYMBOLS), params.annual_volatility / np.sqrt(params.bars_per_year))
    start = np.array([CATALOGUE[s].start_price for s in SYMBOLS])
    ohlcv = bars_from_returns(eps, volatility, start, streams, histories)
    market, splits = assemble(chosen, ohlcv, macro[:, :, None], MACRO_NAMES, ("D1", params.bars_per_year), counts)
    groups, group_of = membership(chosen)
    total = len(market.time)
    truth = Truth(
        chosen,
        groups,
        group_of,
        np.ascontiguousarray(alpha[:, 1:, columns].reshape(total, -1)),
        np.ascontiguousarray(regime[:, 1:].reshape(-1)),
        np.ascontiguousarray(filter_regime(params, macro).reshape(total, 2)),
        params.correlation + (1.0 - params.correlation) * np.eye(len(chosen)),
        volatility[columns],
        params.objective,
        params,
    )
    return Planted(market, splits, truth)


def _desks(symbols: tuple[str, ...]) -> tuple[str, ...]:
    for group in GROUPS:
        found = [symbol for symbol in symbols if CATALOGUE[symbol].group == group]
        if len(found) > 1:
            raise ConfigError(
                f"{', '.join(found)} are all of the group {group}: the market `hidden-regime` has one instrument per "
                f"group, because its regimes and its optimum are about groups. Name one of each, as in "
                f"`environment.instruments=[{', '.join(DESKS)}]`."
            )
    return symbols


def _regimes(params: RegimeParams, streams: Streams, histories: HistoryNames, bars: int) -> Int:
    """Return `[H, bars]` regimes, stationary from the first bar."""
    draws = stacked_uniform(streams, histories, "regime", (bars,))
    jumps = (draws >= params.stay).astype(np.int64)
    jumps[:, 0] = draws[:, 0] < 0.5
    path: Int = np.cumsum(jumps, axis=1) % 2
    return path
