"""`BacktestResult`: what one pass of some agents over bars left behind; everything reported derives from it."""

from dataclasses import dataclass

import numpy as np

from mtquant.types import Bool, Float, Int


@dataclass(frozen=True)
class BacktestResult:
    """S bars, N parallel passes (one per segment of the split), K instruments, G groups.

    Entries where `alive` is False (a segment shorter than the longest) are zero and must be ignored.
    """

    name: str
    symbols: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: tuple[int, ...]
    """[K] index into `groups` of each instrument."""
    time: Int
    """[S, N] open time of the bar that was earned, nanoseconds UTC."""
    bar: Int
    """[S, N] index t of the bar at whose close the decision was made (its result is known at t + 1)."""
    alive: Bool
    """[S, N] whether the pass still ran."""
    equity: Float
    """[S + 1, N] account equity; row 0 is the initial capital."""
    gross: Float
    """[S, N, K] profit of each instrument before costs, account currency."""
    cost: Float
    """[S, N, K] costs of each instrument, account currency, non-negative except received financing."""
    exposure: Float
    """[S, N, K] exposure held over the bar, risk units."""
    trade: Float
    """[S, N, K] change of exposure traded at the start of the bar, risk units."""
    value_at_risk: Float
    """[S, N] ex-ante value at risk of the exposure, share of equity per day."""
    projection: Float
    """[S, N] L1 distance between requested and allowed exposure (activity of the risk layer)."""
    breaker: Int
    """[S, N] number of circuit breakers active (0 to 3)."""
    stops: Int
    """[S, N] stop-losses hit on the bar."""
    bars_per_year: float
    books: Float | None = None
    """[S, N, K] own-unit exposures of the specialists before budgets, where there are specialists."""
    budgets: Float | None = None
    """[S, N, G] budget of each group, where a meta-controller acted."""
    appetite: Float | None = None
    """[S, N] risk appetite, where a meta-controller acted."""

    @property
    def returns(self) -> Float:
        """[S, N] net simple return of equity per bar; 0 where not alive."""
        before = np.where(self.alive, self.equity[:-1], 1.0)
        out: Float = np.where(self.alive, np.diff(self.equity, axis=0) / before, 0.0)
        return out
