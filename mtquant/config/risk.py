"""Limits of the risk layer (`config/risk.yaml`)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.spec import Spec


class LimitsSpec(Spec):
    """Portfolio limits; exposures are in risk units (1.0 = `target_volatility` a year on its own)."""

    enabled: bool = True
    """Switch the whole risk layer off (benchmarks and closed-form tests only)."""
    reading: Literal["risk_units", "literal"] = "risk_units"
    """`risk_units`: position and sector caps count risk. `literal`: the documents' caps on notional."""
    max_portfolio_var: float = Field(default=0.02, gt=0, le=1)
    """Ex-ante value at risk of the portfolio over one day, as a share of equity."""
    var_confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the value at risk (one-sided normal quantile)."""
    max_correlation_exposure: float = Field(default=0.7, gt=0, le=1)
    """Largest correlation exposure: |u_i u_j|-weighted mean of max(0, sign(u_i u_j) rho_ij)."""
    max_sector_allocation: float = Field(default=0.4, gt=0, le=1)
    """Largest share of `sector_base` that the absolute exposures of one group may sum to."""
    sector_base: float = Field(default=10.0, gt=0)
    """Base of the sector limit in risk units: 0.4 x 10 = 4."""
    max_position_size: float = Field(default=0.1, gt=0, le=1)
    """Largest share of `position_base` in one instrument (`literal`: share of equity, notional)."""
    position_base: float = Field(default=15.0, gt=0)
    """Base of the position limit in risk units: 0.1 x 15 = 1.5."""
    stop_loss_pct: float = Field(default=0.02, gt=0, lt=1)
    """Stop-loss: share of equity that one position may lose (`price`: price move against it)."""
    stop_loss: Literal["equity", "price", "off"] = "equity"
    """What the stop measures in phases 1 and 2; `price` is the documents' literal reading."""
    joint_stop_loss: Literal["equity", "price", "off"] = "off"
    """The same for phase 3, where legs hedge each other and a stop on one leg breaks hedges."""
    stop_cooldown_bars: int = Field(default=5, ge=0)
    """Bars an instrument stays flat after its stop."""
    breaker_losses: tuple[float, float, float] = (0.05, 0.10, 0.15)
    """Loss of the day, as a share of the day's first equity, at which each circuit breaker acts."""
    breaker_scales: tuple[float, float, float] = (0.5, 0.25, 0.0)
    """Exposure allowed, as a share of the target, until the day ends, per circuit breaker."""

    @model_validator(mode="after")
    def _breakers_tighten(self) -> Self:
        losses, scales = self.breaker_losses, self.breaker_scales
        if list(losses) != sorted(set(losses)) or not all(0 < loss < 1 for loss in losses):
            raise inconsistent(f"`{list(losses)}` has to rise, between 0 and 1.", "breaker_losses")
        if list(scales) != sorted(scales, reverse=True) or not all(0 <= scale <= 1 for scale in scales):
            raise inconsistent(f"`{list(scales)}` must not rise, between 0 and 1.", "breaker_scales")
        return self
