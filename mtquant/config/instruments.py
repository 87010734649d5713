"""Instruments and their costs (`config/instruments.yaml`)."""

from typing import Literal

from pydantic import Field

from mtquant.config.spec import Spec


class InstrumentSpec(Spec):
    """One instrument as it is traded; prices are taken as quoted in the account currency."""

    group: str
    """Asset group; one specialist is trained per group."""
    contract_value: float = Field(default=1.0, gt=0)
    """Account currency per unit and point of price."""
    half_spread_bps: float = Field(ge=0)
    """Half of the quoted spread, basis points of traded notional."""
    commission_bps: float = Field(default=0.0, ge=0)
    """Commission per side, basis points of traded notional."""
    slippage_bps: float = Field(default=0.0, ge=0)
    """Expected slippage per side, basis points of traded notional."""
    financing_long_bps: float = 0.0
    """Paid per night on a long position, basis points of notional (negative: received)."""
    financing_short_bps: float = 0.0
    """Paid per night on a short position, basis points of notional (negative: received)."""
    impact: float = Field(default=0.8, ge=0)
    """Quadratic impact l in risk units, used by the `planted` cost profile: cost = l/2 u0 dx^2."""
    session: Literal["fx", "futures", "index_cfd"] = "fx"
    """Trading hours the session features assume."""
    price_may_be_negative: bool = False
    """Whether zero or negative prices are possible (WTI, April 2020) or an error."""


class InstrumentsSpec(Spec):
    """The catalogue of instruments, by symbol."""

    instruments: dict[str, InstrumentSpec]
    """Symbol to instrument; order is the order of slots in a portfolio."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names in order of first appearance."""
        return tuple(dict.fromkeys(spec.group for spec in self.instruments.values()))

    def members(self, group: str) -> tuple[str, ...]:
        """Return the symbols of `group` in catalogue order."""
        return tuple(s for s, spec in self.instruments.items() if spec.group == group)
