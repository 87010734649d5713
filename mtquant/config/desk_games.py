"""Settings of the games of the risk and the execution desk: blocks `risk_management` and `execution`.

Keys and values that the documents name are theirs; every other field is one that they leave open.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.market_games import AccountSpec
from mtquant.config.spec import Spec


class RiskEnvironmentSpec(AccountSpec):
    """Episodes and measures of the risk game."""

    observation_space: Literal[10] = 10
    """Portfolio metrics that every agent sees."""
    max_episode_steps: int = Field(default=500, ge=1)
    """Bars per episode; shorter where a history is shorter."""
    var_confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the value at risk (one-sided normal quantile)."""
    correlation_threshold: float = Field(default=0.5, gt=0, le=1)
    """Mean correlation from which an alert is raised."""
    volatility_half_life: float = Field(default=3.0, gt=0)
    """Half-life, in bars, of the covariance that the value at risk is computed from."""
    usual_half_life: float = Field(default=60.0, gt=0)
    """Half-life, in bars, of what counts as usual volatility, correlation and drift."""
    black_swan_rate: float = Field(default=0.002, ge=0, lt=1)
    """Probability per bar that a crash begins; it is written into a copy of the bars before anything is computed."""
    black_swan_size: float = Field(default=6.0, gt=0)
    """Fall of every instrument in the first bar of a crash, in volatilities of one bar."""
    black_swan_bars: int = Field(default=10, ge=1)
    """Bars after the first in which moves are three times as large and instruments move together."""


class PositionSizingSpec(Spec):
    """The agent that moves the size of the portfolio."""

    kelly_fraction: float = Field(default=0.25, gt=0, le=1)
    """Fraction of Kelly that is aimed at: the risk aversion of the reward is one over it."""
    max_position: float = Field(default=0.1, gt=0, le=1)
    """Largest share of `position_base` in one instrument."""
    position_base: float = Field(default=20.0, gt=0)
    """Base of `max_position` in units of risk: 0.1 x 20 = 2."""
    risk_free_rate: float = Field(default=0.02, ge=0)
    """Annual return that Kelly's size is measured against."""
    levels: tuple[float, float, float, float, float] = (0.0, 0.5, 1.0, 1.5, 2.0)
    """Portfolio risk of each level, 1.0 being `target_volatility`."""


class StopTargetSpec(Spec):
    """The agent that moves stops and targets."""

    atr_multiplier: float = Field(default=2.0, gt=0)
    """Distance of the middle stop from the entry, in average true ranges."""
    profit_target_ratio: float = Field(default=2.0, gt=0)
    """Distance of the target over that of the stop."""
    dynamic_adjustment: bool = True
    """Whether distances follow the average true range, or keep that of the entry."""
    cooldown_bars: int = Field(default=5, ge=0)
    """Bars an instrument stays flat after its stop or target."""


class RiskMonitorSpec(Spec):
    """The agent that moves the budget of value at risk."""

    var_threshold: float = Field(default=0.05, gt=0, lt=1)
    """Value at risk of one day, as a share of equity, that its highest budget allows."""
    correlation_shock_threshold: float = Field(default=0.3, gt=0, le=2)
    """Rise of the mean correlation above the usual that is a shock."""
    emergency_protocols: bool = True
    """Whether risk may not be raised, and exposure is halved, while an emergency lasts."""
    volatility_shock: float = Field(default=2.5, gt=1)
    """Volatility over the usual that is a shock."""


class PortfolioOptimizerSpec(Spec):
    """The agent that moves weights between equal risk and least variance."""

    max_weight: float = Field(default=0.4, gt=0, le=1)
    """Largest share of one instrument in the sum of risks (raised to an equal share where there are too few)."""
    correlation_limit: float = Field(default=0.7, gt=0, le=1)
    """Largest correlation exposure of the portfolio."""
    rebalance_threshold: float = Field(default=0.05, ge=0, lt=1)
    """Share of the portfolio by which weights may drift before they are traded."""


class RiskAgentsSpec(Spec):
    """The risk agents, in speaking order."""

    position_sizing: PositionSizingSpec = PositionSizingSpec()
    stop_target: StopTargetSpec = StopTargetSpec()
    risk_monitor: RiskMonitorSpec = RiskMonitorSpec()
    portfolio_optimizer: PortfolioOptimizerSpec = PortfolioOptimizerSpec()


class RiskRewardSpec(Spec):
    """Weights of the risk reward."""

    utility: float = Field(default=1.0, ge=0)
    """Weight of the profit less its risk at fractional Kelly: the Sharpe ratio's well-defined step."""
    var_bonus: float = Field(default=0.1, ge=0)
    """Paid in a bar that begins within the value at risk."""
    drawdown_penalty: float = Field(default=0.5, ge=0)
    """Weight of the growth of the episode's largest drawdown."""
    emergency_bonus: float = Field(default=0.3, ge=0)
    """Paid in a bar of an emergency that the portfolio did not bring about, if risk was reduced."""


class RiskManagementSpec(Spec):
    """The block `risk_management`."""

    environment: RiskEnvironmentSpec = RiskEnvironmentSpec()
    agents: RiskAgentsSpec = RiskAgentsSpec()
    rewards: RiskRewardSpec = RiskRewardSpec()


class VenueSpec(Spec):
    """One place to trade."""

    depth: float = Field(gt=0)
    """Shares (of the largest order, per horizon) that move its price by one: the inverse of temporary impact."""
    fee: float = Field(ge=0)
    """Price per share."""
    latency: float = Field(ge=0)
    """Seconds until an order arrives."""


VENUES = {
    "venue_a": VenueSpec(depth=50.0, fee=0.0005, latency=0.0005),
    "venue_b": VenueSpec(depth=30.0, fee=0.0002, latency=0.0009),
    "venue_c": VenueSpec(depth=20.0, fee=0.0, latency=0.004),
}


class ExecutionEnvironmentSpec(Spec):
    """Orders and their market, in the units of Almgren and Chriss: the largest order is one, and so is its horizon."""

    max_episode_steps: int = Field(default=200, ge=1)
    """Steps per episode: several orders, one after the other."""
    order_steps: int = Field(default=20, ge=2)
    """Steps of one order; what is left at the last one is sold."""
    execution_venues: tuple[str, ...] = ("venue_a", "venue_b", "venue_c")
    """Venues that orders are split over."""
    latency_target: float = Field(default=0.001, gt=0)
    """Seconds below which execution counts as fast."""
    venues: dict[str, VenueSpec] = Field(default_factory=lambda: dict(VENUES))
    """What each venue is like."""
    depth_variation: float = Field(default=0.25, ge=0, lt=2)
    """Standard deviation of the log of a venue's depth from order to order."""
    price: float = Field(default=25.0, gt=0)
    """Price of a share, which tolerances and costs in shares of the price refer to."""
    volatility: float = Field(default=0.02, gt=0)
    """sigma: standard deviation of the price over the horizon."""
    permanent_impact: float = Field(default=0.005, ge=0)
    """gamma: lasting price move per share."""
    half_spread: float = Field(default=0.0, ge=0)
    """eps: cost per share whatever the size."""
    risk_aversion: float = Field(default=500.0, gt=0)
    """lambda: price of one unit of variance."""
    horizon_seconds: float = Field(default=1200.0, gt=0)
    """Seconds of the horizon; turns latencies into prices."""
    reward_scaling: float = Field(default=1.0, gt=0)
    """Multiplies every reward."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        steps, order = self.max_episode_steps, self.order_steps
        if steps > order and steps % order:
            raise inconsistent(
                f"an episode of {steps} steps does not hold whole orders of {order}.",
                "max_episode_steps",
                "order_steps",
            )
        unknown = [name for name in self.execution_venues if name not in self.venues]
        if unknown or len(set(self.execution_venues)) != len(self.execution_venues) or not self.execution_venues:
            raise inconsistent(
                f"{list(self.execution_venues)} has to name some of {list(self.venues)}, each at most once.",
                "execution_venues",
                "venues",
            )
        return self


class OrderSizingSpec(Spec):
    """The agent of order sizes."""

    min_size: int = Field(default=100, ge=1)
    """Smallest order, shares."""
    max_size: int = Field(default=10_000, ge=1)
    """Largest order, shares."""
    size_increment: int = Field(default=100, ge=1)
    """Step between sizes of orders, shares."""

    @model_validator(mode="after")
    def _smallest_is_not_above_largest(self) -> Self:
        if self.min_size > self.max_size:
            raise inconsistent(f"{self.min_size} is above {self.max_size}.", "min_size", "max_size")
        return self


class SlippageStopSpec(Spec):
    """The agent that stops a slice whose impact is too large."""

    execution_slippage_tolerance: float = Field(default=0.001, gt=0)
    """Impact of a slice, as a share of the price, that it accepts at 0; a quarter of it at -1, four times it at 1."""


class ExecutionMonitorSpec(Spec):
    """The agent that limits the risk of what is left."""

    execution_risk_limit: float = Field(default=0.02, gt=0)
    """Standard deviation of the worth of what is left, per share ordered, that it accepts at 0; none at -1, twice
    at 1."""


class UrgencySpec(Spec):
    """The agent that hurries or delays the portfolio's orders."""

    execution_cost_weight: float = Field(default=0.3, ge=0, lt=1)
    """Largest share by which it raises or lowers a slice."""


class RoutingSpec(Spec):
    """The agent that splits slices over venues."""

    venue_selection_algorithm: Literal["smart_routing", "proportional"] = "smart_routing"
    """`smart_routing`: the agent's word is the split; `proportional`: it tilts a split in proportion to depth."""
    market_impact_model: Literal["almgren_chriss"] = "almgren_chriss"
    """Impact of trades."""


class ExecutionAgentsSpec(Spec):
    """The execution agents, in speaking order."""

    position_sizing: OrderSizingSpec = OrderSizingSpec()
    stop_target: SlippageStopSpec = SlippageStopSpec()
    risk_monitor: ExecutionMonitorSpec = ExecutionMonitorSpec()
    portfolio_optimizer: UrgencySpec = UrgencySpec()
    routing: RoutingSpec = RoutingSpec()


class ExecutionRewardSpec(Spec):
    """Weights of the execution reward, whose unit is what TWAP costs."""

    shortfall: float = Field(default=1.0, ge=0)
    """Weight of implementation shortfall and of the risk of what is left."""
    price_noise: bool = False
    """Whether the luck of price moves on shares still held is paid too; it is zero in the mean whatever is done, and
    larger than all costs for a small order. The account always bears it."""
    speed_bonus: float = Field(default=0.2, ge=0)
    """Paid for an order that is wholly executed below `latency_target`; shares count."""
    impact_penalty: float = Field(default=0.1, ge=0)
    """Weight of market impact, beside the impact that the shortfall has paid already."""
    venue_bonus: float = Field(default=0.1, ge=0)
    """Paid for an order that is wholly routed at the least cost; shares count."""


class ExecutionSpec(Spec):
    """The block `execution`."""

    environment: ExecutionEnvironmentSpec = ExecutionEnvironmentSpec()
    agents: ExecutionAgentsSpec = ExecutionAgentsSpec()
    rewards: ExecutionRewardSpec = ExecutionRewardSpec()
