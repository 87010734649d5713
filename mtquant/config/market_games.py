"""Settings of the games that watch one instrument: blocks `strategic_marl`, `tactical_marl`, and the two teams.

Keys and values that the documents name are theirs; every other field is one that they leave open.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.spec import Spec


class AccountSpec(Spec):
    """What the account of every game over bars is like."""

    reward_scaling: float = Field(default=1.0, gt=0)
    """Multiplies every reward."""
    observation_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the noise added to what is seen of a bar; the same at every look at it."""
    warmup_steps: int = Field(default=150, ge=0)
    """Bars of a history before the first decision; at least the bars of the observed window."""
    initial_capital: float = Field(default=100_000.0, gt=0)
    """Equity at the start of an episode."""
    target_volatility: float = Field(default=0.10, gt=0)
    """Annual volatility of exposure 1.0."""
    costs: Literal["auto", "zero", "realistic", "flat", "planted"] = "auto"
    """Cost profile; `auto`: `planted` on planted markets, `realistic` on other bars."""
    transaction_cost: float = Field(default=0.003, ge=0, lt=1)
    """Share of traded notional charged by the `flat` profile."""
    position_scale: float = Field(default=1.0, gt=0)
    """Exposure that a unanimous decision asks for."""
    adjustment_rate: float = Field(default=1.0, gt=0, le=1)
    """Share of the way from the present to the wanted exposure that is traded each bar."""
    train_histories: int | None = Field(default=None, ge=1)
    """Histories to train on of the market that is played without bars of your own; none: two or three, which are made
    at once; with more there is less luck to learn."""


class WindowSpec(AccountSpec):
    """A game that shows the last bars as a matrix."""

    matrix_shape: tuple[int, int]
    """Bars x columns of an observation."""
    columns: tuple[str, ...]
    """Names of the columns: indicators, calendar columns, `position` (the exposure held, in the last bar's row), or
    macro columns of your own file (news, weather, ...)."""

    @model_validator(mode="after")
    def _columns_fill_the_matrix(self) -> Self:
        bars, columns = self.matrix_shape
        if columns != len(self.columns) or bars < 1:
            raise inconsistent(
                f"{len(self.columns)} columns do not fill a matrix of {bars} x {columns}.", "matrix_shape", "columns"
            )
        if len(set(self.columns)) != len(self.columns):
            raise inconsistent("a column stands twice.", "columns")
        if self.warmup_steps < bars:
            raise inconsistent(
                f"{self.warmup_steps} bars before the first decision do not fill a window of {bars}.",
                "warmup_steps",
                "matrix_shape",
            )
        return self


class StrategicEnvironmentSpec(WindowSpec):
    """Episodes and observations of the strategic game."""

    matrix_shape: tuple[int, int] = (48, 13)
    """Bars x columns of an observation."""
    max_episode_steps: int = Field(default=2000, ge=1)
    """Bars per episode; shorter where a history is shorter."""
    observation_noise: float = Field(default=0.01, ge=0)
    """Standard deviation of the noise added to what is seen of a bar; the same at every look at it."""
    adjustment_rate: float = Field(default=0.33, gt=0, le=1)
    """Share of the way from the present to the wanted exposure that is traded each bar."""
    columns: tuple[str, ...] = (
        "mlmi",
        "mlmi_spread",
        "illiquidity",
        "money_flow",
        "nwrqk_slope",
        "nwrqk_gap",
        "nwrqk_cross",
        "rsi",
        "volatility_state",
        "trend_state",
        "volatility_ratio",
        "day_sin",
        "day_cos",
    )
    """Names of the columns (`WindowSpec`)."""
    actions: Literal["discrete", "probabilities"] = "discrete"
    """One of SHORT, NEUTRAL, LONG, or a probability for each of them, in this order."""


class ExpertSpec(Spec):
    """One expert of the strategic game."""

    observation_columns: tuple[int, ...] = ()
    """Columns of the matrix that it sees; the others are zero."""
    action_space_size: Literal[3] = 3
    """SHORT, NEUTRAL, LONG."""
    expertise_weight: float = Field(default=1.0, gt=0)
    """Weight of its vote."""


class ExpertsSpec(Spec):
    """The experts, in speaking order."""

    mlmi_expert: ExpertSpec = ExpertSpec(observation_columns=(0, 1, 2, 3), expertise_weight=0.35)
    nwrqk_expert: ExpertSpec = ExpertSpec(observation_columns=(4, 5, 6, 7), expertise_weight=0.35)
    regime_expert: ExpertSpec = ExpertSpec(observation_columns=(8, 9, 10, 11, 12), expertise_weight=0.30)


class StrategicRewardSpec(Spec):
    """Weights of the documents' bonuses beside the profit."""

    synergy_bonus: float = Field(default=0.2, ge=0)
    """Weight of decisions in which all experts agree on a direction."""
    synergy: Literal["earned", "flat"] = "earned"
    """`earned`: a share of the bar's profit; `flat`: the literal constant, which pays for agreeing on anything."""
    drawdown_penalty: float = Field(default=0.1, ge=0)
    """Weight of the growth of the episode's largest drawdown."""
    sharpe_bonus: float = Field(default=0.1, ge=0)
    """Weight of the differential Sharpe ratio."""
    sharpe_rate: float = Field(default=0.01, gt=0, lt=1)
    """Rate of its exponential moments."""


class StrategicSpec(Spec):
    """The block `strategic_marl`."""

    environment: StrategicEnvironmentSpec = StrategicEnvironmentSpec()
    agents: ExpertsSpec = ExpertsSpec()
    rewards: StrategicRewardSpec = StrategicRewardSpec()


class TacticalEnvironmentSpec(WindowSpec):
    """Episodes and observations of the tactical game."""

    matrix_shape: tuple[int, int] = (60, 7)
    """Bars x columns of an observation."""
    max_episode_steps: int = Field(default=1000, ge=1)
    """Bars per episode; shorter where a history is shorter."""
    state_machine: bool = True
    """Whether later agents hear what earlier ones said in the same bar."""
    adjustment_rate: float = Field(default=0.33, gt=0, le=1)
    """Share of the way from the present to the wanted exposure that is traded each bar."""
    byzantine_tolerance: bool = True
    """Whether the team's decision is the median of the votes, which one faulty agent cannot move beyond the others."""
    columns: tuple[str, ...] = (
        "fvg_bullish",
        "fvg_bearish",
        "fvg_distance",
        "momentum",
        "trend_strength",
        "volume",
        "entry_location",
    )
    """Names of the columns (`WindowSpec`)."""


class FvgAgentSpec(Spec):
    """The agent of fair value gaps."""

    observation_columns: tuple[int, ...] = (0, 1, 2)
    """Columns of the matrix that it sees; the others are zero."""
    detection_threshold: float = Field(default=0.7, gt=0)
    """Smallest gap that counts, in volatilities of one bar."""
    confidence_threshold: float = Field(default=0.8, ge=0, le=1)
    """Confidence from which a gap is listed as confirmed; it falls with age and as the gap is filled."""


class MomentumAgentSpec(Spec):
    """The agent of momentum."""

    observation_columns: tuple[int, ...] = (3, 4)
    """Columns of the matrix that it sees; the others are zero."""
    momentum_window: int = Field(default=14, ge=2)
    """Bars of the momentum columns."""
    trend_threshold: float = Field(default=0.6, ge=0, lt=1)
    """Efficiency below which `trend_strength` shows no trend."""


class EntryAgentSpec(Spec):
    """The agent of entries."""

    observation_columns: tuple[int, ...] = (5, 6)
    """Columns of the matrix that it sees; the others are zero."""
    optimization_steps: int = Field(default=10, ge=2)
    """Bars of the range that `entry_location` places the close in."""
    timing_precision: float = Field(default=0.001, ge=0)
    """Seconds between decision and order; charged as the risk of that time."""


class TacticiansSpec(Spec):
    """The tactical agents, in speaking order."""

    fvg_agent: FvgAgentSpec = FvgAgentSpec()
    momentum_agent: MomentumAgentSpec = MomentumAgentSpec()
    entry_opt_agent: EntryAgentSpec = EntryAgentSpec()


class TacticalRewardSpec(Spec):
    """Weights of the tactical reward."""

    profit: float = Field(default=1.0, ge=0)
    """Weight of the profit, which the documents leave out: without it the best team never trades."""
    execution_quality: float = Field(default=0.1, ge=0)
    """Weight of the fill within the range of its bar, from -1 (worst price) to 1 (best), per exposure traded."""
    timing_bonus: float = Field(default=0.15, ge=0)
    """The same for trades that open a position."""
    coordination_bonus: float = Field(default=0.1, ge=0)
    """Paid where every agent spoke in its turn."""
    slippage_penalty: float = Field(default=0.2, ge=0)
    """Weight of costs and of the risk of the latency, beside the costs that the profit has paid already."""


class TacticalSpec(Spec):
    """The block `tactical_marl`."""

    environment: TacticalEnvironmentSpec = TacticalEnvironmentSpec()
    agents: TacticiansSpec = TacticiansSpec()
    rewards: TacticalRewardSpec = TacticalRewardSpec()


class TeamSpec(WindowSpec):
    """A team of document 5: the blocks `tactical` (5-minute bars) and `strategic` (30-minute bars)."""

    num_episodes: int = Field(default=200, ge=1)
    """Episodes of training, over all rows."""
    episode_length: int = Field(default=1000, ge=1)
    """Bars per episode; shorter where a history is shorter."""
    lr_actor: float = Field(default=3e-4, gt=0)
    """Step size of the actors."""
    lr_critic: float = Field(default=1e-3, gt=0)
    """Step size of the critic."""
    small_step: float = Field(default=0.25, gt=0)
    """Change of exposure that BUY_SMALL or BUY_CONSERVATIVE proposes."""
    large_step: float = Field(default=0.75, gt=0)
    """Change of exposure that BUY_LARGE or BUY_AGGRESSIVE proposes."""
    risk_step: float = Field(default=1.5, gt=1)
    """Factor by which INCREASE_RISK proposes to raise the exposure; REDUCE_RISK divides by it."""
    position_scale: float = Field(default=2.0, gt=0)
    """Largest exposure held."""
    matrix_shape: tuple[int, int] = (1, 7)
    """Bars x columns of an observation."""
    columns: tuple[str, ...] = ("momentum", "rsi", "macd", "volume", "volatility_ratio", "trend_state", "position")
    """Names of the columns (`WindowSpec`)."""


TACTICAL_TEAM = TeamSpec()
STRATEGIC_TEAM = TeamSpec(
    num_episodes=300,
    episode_length=500,
    lr_actor=1e-4,
    lr_critic=3e-4,
    matrix_shape=(1, 13),
    columns=(
        "momentum",
        "rsi",
        "macd",
        "bollinger",
        "adx",
        "volume",
        "drawdown",
        "volatility_state",
        "trend_state",
        "volatility_ratio",
        "nwrqk_slope",
        "nwrqk_gap",
        "position",
    ),
)
