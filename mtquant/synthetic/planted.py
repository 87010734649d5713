"""`Planted`: a generated market together with what is true about it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.config.spec import Spec
from mtquant.data.market import Market
from mtquant.data.splits import Splits
from mtquant.errors import DataError
from mtquant.types import Float, Int


@dataclass(frozen=True)
class Objective:
    """What a bar is worth: U = x'eps - (g/2) x'Rx - (l/2)|dx|^2 - c|dx|_1 in units of u0.

    u0 is the risk of exposure 1.0 over one bar; exposures are in risk units.
    """

    risk_aversion: float
    """Annual risk aversion of the mean-variance utility (`RewardSpec.risk_aversion`)."""
    impact: float
    """Quadratic impact l (`InstrumentSpec.impact`)."""
    target_volatility: float
    """Annual volatility of exposure 1.0."""
    bars_per_year: float
    action_range: float = 1.0
    """Largest absolute exposure of one instrument that the stand-alone problem needs."""
    spread: float = 0.0
    """Proportional cost c of one unit of exposure traded."""
    position_cap: float = math.inf
    """Largest exposure of one instrument; where a cap is finite, exposures are not negative either."""
    gross_cap: float = math.inf
    """Largest sum of exposures."""

    @property
    def unit_risk(self) -> float:
        """u0: risk of exposure 1.0 over one bar, as a share of equity."""
        return float(self.target_volatility / np.sqrt(self.bars_per_year))

    @property
    def g(self) -> float:
        """Risk aversion per bar, in units of u0."""
        return self.risk_aversion * self.unit_risk


@dataclass(frozen=True)
class Truth:
    """What only evaluation may read; no feature, observation or reward does."""

    symbols: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: tuple[int, ...]
    """[K] index into `groups`."""
    alpha: Float
    """[T, K] expected return of bar t + 1 over its one-bar volatility, given everything at the close of t."""
    regime: Int
    """[T] hidden state s_t that rules the return of bar t + 1."""
    posterior: Float
    """[T, S] probability of each state given the macro columns up to and including t."""
    correlation: Float
    """[K, K] correlation R of the shocks."""
    volatility: Float
    """[K] standard deviation of the shock of one bar's simple return."""
    objective: Objective
    params: Spec
    """Parameters of the generator."""

    def __post_init__(self) -> None:
        for array in (self.alpha, self.regime, self.posterior, self.correlation, self.volatility):
            array.flags.writeable = False


@dataclass(frozen=True)
class Planted:
    """A market, its splits (whole histories) and its truth."""

    market: Market
    splits: Splits
    truth: Truth
    signals: Float | None = None
    """[T, K, S] per-instrument columns that prices do not contain and an agent must be shown; known at t."""
    signal_names: tuple[str, ...] = ()

    @property
    def objective(self) -> Objective:
        """Objective the optimum refers to."""
        return self.truth.objective


def pick(symbols: Sequence[str] | None, known: Sequence[str], market: str) -> tuple[str, ...]:
    """Return `symbols` (default: all known); raise `DataError` where the market has no such instrument."""
    if symbols is None:
        return tuple(known)
    missing = [s for s in symbols if s not in known]
    if missing or len(set(symbols)) != len(symbols) or not symbols:
        raise DataError(
            f"The planted market `{market}` was asked for {list(symbols)}; it has {list(known)}, each at most once. "
            "Change `environment.instruments`."
        )
    return tuple(symbols)
