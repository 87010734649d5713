"""Markets whose signals are exogenous and shown to the agent (Garleanu & Pedersen, Journal of Finance 2013).

eps_{t+1} = b sum_k f_{k,t} + u_{t+1}, f_{k,t+1} = (1 - phi_k) f_{k,t} + e, unit variances; every instrument has
signals of its own, so the stand-alone optimum is scalar and exact.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from mtquant.config.spec import Spec
from mtquant.context import Streams
from mtquant.synthetic.bars import HistoryNames, assemble, bars_from_returns, named_histories, stacked_normal
from mtquant.synthetic.catalogue import CATALOGUE, SYMBOLS, membership
from mtquant.synthetic.planted import Objective, Planted, Truth, pick
from mtquant.types import Float


class FactorLaw(Spec, ABC):
    """What all factor markets share; values are per bar unless a year is named."""

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
    loading: float = 0.12
    """b: edge per unit of each signal."""
    risk_aversion_per_bar: float = Field(default=0.15, gt=0)
    """g, in units of u0."""
    correlation: float = Field(default=0.0, ge=0, lt=1)
    """Correlation of the shocks of any two instruments."""
    action_range: float = Field(default=3.0, gt=0)
    """Largest exposure a policy may aim at; of one instrument alone the optimum's standard deviation is below 1.1."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Histories of train, validation and test."""
        return self.train_histories, self.validation_histories, self.test_histories

    @property
    @abstractmethod
    def phi(self) -> Float:
        """[S] mean reversion of each signal."""

    @property
    @abstractmethod
    def signal_names(self) -> tuple[str, ...]:
        """[S] names of the shown columns."""

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """Objective of the optimum."""

    @property
    def loadings(self) -> Float:
        """[S] edge of each signal."""
        return np.full(len(self.phi), self.loading)

    @property
    def unit_risk(self) -> float:
        """u0: risk of exposure 1.0 over one bar, as a share of equity."""
        return float(self.target_volatility / np.sqrt(self.bars_per_year))

    @property
    def bar_volatility(self) -> float:
        """Volatility of every instrument over one bar."""
        return float(self.annual_volatility / np.sqrt(self.bars_per_year))


class FactorParams(FactorLaw):
    """A fast and a slow signal, quadratic costs."""

    phi_fast: float = Field(default=0.2, gt=0, le=1)
    """Mean reversion of the fast signal."""
    phi_slow: float = Field(default=0.02, gt=0, le=1)
    """Mean reversion of the slow signal."""
    impact: float = Field(default=1.5, gt=0)
    """Quadratic impact l. The simulator charges l/2 |dx|^2 (l I), not l/2 dx'R dx; with correlated shocks the two
    have different joint optima (`closed_form.joint_factor_value`, `closed_form.joint_gain`)."""

    @property
    def phi(self) -> Float:
        """[2] mean reversion of the fast and the slow signal."""
        return np.array([self.phi_fast, self.phi_slow])

    @property
    def signal_names(self) -> tuple[str, ...]:
        """[2] names of the shown columns."""
        return "signal_fast", "signal_slow"

    @property
    def objective(self) -> Objective:
        """Objective of the optimum."""
        aversion = float(self.risk_aversion_per_bar / self.unit_risk)
        return Objective(aversion, self.impact, self.target_volatility, self.bars_per_year, self.action_range)


class DividedParams(FactorParams):
    """A fast, a middling and a slow signal, so that each of three agents can be shown another one."""

    loading: float = 0.10
    """b: edge per unit of each signal."""
    phi_fast: float = Field(default=0.08, gt=0, le=1)
    """Mean reversion of the fast signal."""
    phi_middle: float = Field(default=0.05, gt=0, le=1)
    """Mean reversion of the middling signal."""
    phi_slow: float = Field(default=0.03, gt=0, le=1)
    """Mean reversion of the slow signal."""
    impact: float = Field(default=0.2, gt=0)
    """Quadratic impact l; small, because votes move exposure in large steps."""

    @property
    def phi(self) -> Float:
        """[3] mean reversion of the fast, the middling and the slow signal."""
        return np.array([self.phi_fast, self.phi_middle, self.phi_slow])

    @property
    def signal_names(self) -> tuple[str, ...]:
        """[3] names of the shown columns."""
        return "signal_fast", "signal_middle", "signal_slow"


class SpreadParams(FactorLaw):
    """One signal, proportional costs: the optimum is a band around the signal inside which nothing is traded."""

    loading: float = 0.10
    """b: edge per unit of the signal."""
    risk_aversion_per_bar: float = Field(default=0.10, gt=0)
    """g, in units of u0."""
    phi_signal: float = Field(default=0.05, gt=0, le=1)
    """Mean reversion of the signal."""
    spread: float = Field(default=0.10, ge=0)
    """c: cost of trading one unit of exposure, in u0."""
    correlation: float = Field(default=0.0, ge=0, le=0)
    """Shocks are independent: the reference is that of one instrument alone."""

    @property
    def phi(self) -> Float:
        """[1] mean reversion of the signal."""
        return np.array([self.phi_signal])

    @property
    def signal_names(self) -> tuple[str, ...]:
        """[1] name of the shown column."""
        return ("signal",)

    @property
    def transaction_cost(self) -> float:
        """Share of traded notional that makes one unit of exposure cost c u0."""
        return self.spread * self.bar_volatility

    @property
    def objective(self) -> Objective:
        """Objective of the optimum."""
        aversion = float(self.risk_aversion_per_bar / self.unit_risk)
        size = (self.target_volatility, self.bars_per_year, self.action_range)
        return Objective(aversion, 0.0, *size, spread=self.spread)


def generate(params: FactorLaw, streams: Streams, symbols: Sequence[str] | None = None) -> Planted:
    """Generate the market with its three splits; streams are named as in the embedded market."""
    return _generate(params, streams, symbols, named_histories(params.counts), params.counts, params.history_bars)


def generate_paths(
    params: FactorLaw, streams: Streams, n_paths: int, n_bars: int, symbols: Sequence[str] | None = None
) -> Planted:
    """Generate `n_paths` fresh histories of `n_bars` bars as the test split; the others are empty."""
    histories = [("paths", i) for i in range(n_paths)]
    return _generate(params, streams, symbols, histories, (0, 0, n_paths), n_bars)


def _generate(
    params: FactorLaw,
    streams: Streams,
    symbols: Sequence[str] | None,
    histories: HistoryNames,
    counts: tuple[int, int, int],
    bars: int,
) -> Planted:
    chosen = pick(symbols, SYMBOLS, "factors")
    columns = [SYMBOLS.index(s) for s in chosen]
    # One bar before the first, so that the first return already has its edge.
    signals = _signals(params, streams, histories, bars + 1)
    alpha = np.einsum("htik,k->hti", signals, params.loadings)
    own = stacked_normal(streams, histories, "shocks", (bars, len(SYMBOLS)))
    shared = stacked_normal(streams, histories, "common", (bars, 1))
    eps = alpha[:, :-1] + np.sqrt(1.0 - params.correlation) * own + np.sqrt(params.correlation) * shared
    volatility = np.full(len(SYMBOLS), params.bar_volatility)
    start = np.array([CATALOGUE[s].start_price for s in SYMBOLS])
    ohlcv = bars_from_returns(eps, volatility, start, streams, histories)
    no_macro = np.empty((*eps.shape[:2], 0))
    market, splits = assemble(chosen, ohlcv, no_macro, (), ("D1", params.bars_per_year), counts)
    groups, group_of = membership(chosen)
    total = len(market.time)
    truth = Truth(
        chosen,
        groups,
        group_of,
        np.ascontiguousarray(alpha[:, 1:, columns].reshape(total, -1)),
        np.zeros(total, dtype=np.int64),
        np.ones((total, 1)),
        params.correlation + (1.0 - params.correlation) * np.eye(len(chosen)),
        volatility[columns],
        params.objective,
        params,
    )
    shown = np.ascontiguousarray(signals[:, 1:, columns].reshape(total, len(chosen), -1))
    shown.flags.writeable = False
    return Planted(market, splits, truth, shown, params.signal_names)


def _signals(params: FactorLaw, streams: Streams, histories: HistoryNames, bars: int) -> Float:
    """Return `[H, bars, 8, S]` unit-variance AR(1) signals, stationary from the first bar."""
    innovations = stacked_normal(streams, histories, "signals", (bars, len(SYMBOLS), len(params.phi)))
    theta = 1.0 - params.phi
    noise = np.sqrt(1.0 - theta**2)
    paths = innovations.copy()
    for t in range(1, bars):
        paths[:, t] = theta * paths[:, t - 1] + noise * innovations[:, t]
    return paths
