"""Cost profiles as arrays: what a trade, an exposure change and a night cost."""

from dataclasses import dataclass

import numpy as np

from mtquant.config.agents import EnvironmentSpec
from mtquant.config.instruments import InstrumentsSpec
from mtquant.types import Float

BASIS_POINT = 1e-4


@dataclass(frozen=True)
class CostTable:
    """Coefficients per instrument, `[K]` each."""

    linear: Float
    """Share of traded notional paid per trade: half-spread, commission and slippage."""
    impact: Float
    """Quadratic impact l: an exposure change dx costs l/2 u0 dx^2 of equity."""
    financing_long: Float
    """Share of notional paid per night on a long position."""
    financing_short: Float
    """Share of notional paid per night on a short position."""


def cost_table(spec: EnvironmentSpec, catalogue: InstrumentsSpec, symbols: tuple[str, ...], planted: bool) -> CostTable:
    """Return the coefficients of the cost profile that `spec` names; `auto` depends on `planted`."""
    profile = spec.costs
    if profile == "auto":
        profile = "planted" if planted else "realistic"
    entries = [catalogue.instruments[symbol] for symbol in symbols]
    none = np.zeros(len(symbols))
    if profile == "zero":
        return CostTable(none, none, none, none)
    if profile == "flat":
        return CostTable(np.full(len(symbols), spec.transaction_cost), none, none, none)
    if profile == "planted":
        return CostTable(none, np.array([e.impact for e in entries]), none, none)
    return CostTable(
        np.array([e.half_spread_bps + e.commission_bps + e.slippage_bps for e in entries]) * BASIS_POINT,
        none,
        np.array([e.financing_long_bps for e in entries]) * BASIS_POINT,
        np.array([e.financing_short_bps for e in entries]) * BASIS_POINT,
    )
