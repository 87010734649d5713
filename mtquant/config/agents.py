"""Everything a pipeline run can be told (`config/agents.yaml` and `config/profiles/`).

The defaults here are the `default` profile; YAML holds only what differs. The documents' spelling
(`training:` block and the like) is translated by `config.documented`.
"""

from typing import Any, Literal

from pydantic import Field

from mtquant.config.instruments import InstrumentsSpec
from mtquant.config.risk import LimitsSpec
from mtquant.config.spec import Spec

INSTRUMENTS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "WTIUSD", "SPX500", "NAS100", "US30")


class DataSpec(Spec):
    """Where bars come from and how they are split."""

    source: str = "embedded"
    """A planted market by name (`embedded`, `embedded-null`, `gp-easy`, ...) or a folder of bars."""
    timeframe: str | None = None
    """Bar length (`M5`, `M30`, `H1`, `H4`, `D1`); needed where a folder holds several."""
    time_zone: str = "UTC"
    """Time zone of timestamps that do not state one."""
    day_first: bool | None = None
    """Order of day and month where a file leaves it undecidable; None stops with a question."""
    train_fraction: float = Field(default=0.6, gt=0, lt=1)
    """Share of the bars to train on, for data that bring no split of their own."""
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the bars for model choice; the rest is the untouched test split."""
    embargo_bars: int = Field(default=150, ge=0)
    """Bars left out after a boundary, so that no feature window reaches across it."""
    planted: dict[str, Any] = Field(default_factory=dict)
    """Changes to the planted market's parameters (number of histories, macro noise, ...)."""


class FeatureSpec(Spec):
    """What an agent sees of one instrument; every entry is causal."""

    return_half_lives: tuple[float, ...] = (1.0, 2.5, 6.0, 12.0, 24.0, 48.0)
    """Half-lives, in bars, of the exponential means of volatility-scaled returns."""
    return_lags: int = Field(default=4, ge=0)
    """Number of last volatility-scaled returns shown one by one."""
    indicators: tuple[str, ...] = (
        "rsi", "adx", "bollinger", "macd", "range", "volume", "volatility_ratio", "drawdown",
    )
    """Names in the indicator registry."""
    volatility: Literal["auto", "fixed", "ewma"] = "auto"
    """Scale of one bar's move: `fixed` from the train split, `ewma` causal; `auto` picks `fixed` on planted markets."""
    volatility_half_life: float = Field(default=60.0, gt=0)
    """Half-life, in bars, of the causal volatility."""
    clip: float = Field(default=10.0, gt=0)
    """Bound of normalised observations."""
    macro_half_life: float = Field(default=10.0, gt=0)
    """Half-life, in bars, of the exponential means of the macro columns."""
    regimes: bool = False
    """Add regime features (volatility and trend states) to an instrument's observation."""
    sessions: bool = False
    """Add time-of-day and session features (intraday bars)."""


class EnvironmentSpec(Spec):
    """Episodes, account and costs."""

    instruments: tuple[str, ...] = INSTRUMENTS
    """Symbols to trade; each needs an entry in `config/instruments.yaml`."""
    episode_length: int = Field(default=1000, ge=10)
    """Bars per training episode; shorter where a split is shorter."""
    warmup_steps: int = Field(default=150, ge=0)
    """Bars at the start of a history before the first decision: what the slowest feature needs."""
    initial_capital: float = Field(default=100_000.0, gt=0)
    """Equity at the start of an episode, account currency."""
    costs: Literal["auto", "zero", "realistic", "flat", "planted"] = "auto"
    """Cost profile; `auto`: `planted` on planted markets, `realistic` on bars of your own."""
    transaction_cost: float = Field(default=0.003, ge=0, lt=1)
    """Share of traded notional charged by the `flat` profile (the documents' 30 basis points)."""
    fill: Literal["next_open", "next_close"] = "next_open"
    """Price at which a decision is filled."""
    target_volatility: float = Field(default=0.10, gt=0)
    """Annual volatility of exposure 1.0 in one instrument."""
    adjustment_rate: float = Field(default=0.33, gt=0, le=1)
    """Share of the way from the present to the target exposure that is traded each bar."""


class RewardSpec(Spec):
    """How a bar is paid. The documents' weights multiply the parts of `mean_variance`."""

    name: str = "mean_variance"
    """Entry of the reward registry."""
    risk_aversion: float = Field(default=20.0, ge=0)
    """Risk aversion of the mean-variance utility, per year."""
    risk_penalty_weight: float = Field(default=1.0, ge=0)
    """Multiplies the risk term."""
    transaction_cost_weight: float = Field(default=1.0, ge=0)
    """Multiplies the costs inside the reward (the ledger always pays them once)."""
    diversification_bonus_weight: float = Field(default=0.0, ge=0)
    """Multiplies a bonus for spreading risk over instruments."""
    downside_volatility_weight: float = Field(default=0.0, ge=0)
    """Multiplies a penalty on squared losses."""
    risk_free_rate: float = Field(default=0.0, ge=0)
    """Annual rate subtracted from returns before Sharpe-like measures."""
    sharpe_target: float = Field(default=2.0, gt=0)
    """Target the report compares the Sharpe ratio with."""
    max_drawdown_target: float = Field(default=0.15, gt=0, lt=1)
    """Target the report compares the drawdown with."""
    eta: float = Field(default=0.01, gt=0, lt=1)
    """Rate of the exponential moments in `differential_sharpe`."""


class PPOSpec(Spec):
    """Hyper-parameters of PPO; the names are Stable-Baselines3's."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size at the start."""
    learning_rate_schedule: Literal["linear", "constant"] = "linear"
    """`linear` falls to zero at the last step; a function of absolute steps."""
    n_envs: int = Field(default=256, ge=1)
    """Rows stepped together."""
    n_steps: int = Field(default=64, ge=1)
    """Bars (phase 2: decisions) per row and rollout."""
    batch_size: int = Field(default=8192, ge=2)
    """Samples per gradient step."""
    n_epochs: int = Field(default=10, ge=1)
    """Passes over each rollout."""
    gamma: float = Field(default=0.9, ge=0, le=1)
    """Discount per step."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation."""
    clip_range: float = Field(default=0.2, gt=0)
    """Clip of the probability ratio."""
    ent_coef: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus."""
    vf_coef: float = Field(default=0.5, ge=0)
    """Weight of the value loss."""
    max_grad_norm: float = Field(default=0.5, gt=0)
    """Largest gradient norm."""
    log_std_init: float = -0.7
    """Initial log standard deviation of actions."""
    weight_decay: float = Field(default=1.0, ge=0)
    """Decoupled weight decay (AdamW)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""


class Phase1Spec(Spec):
    """Training of one specialist per group."""

    timesteps: int = Field(default=500_000, ge=1)
    """Bars of experience per specialist, over all rows."""
    ppo: PPOSpec = PPOSpec()
    """Learner."""
    reward: RewardSpec = RewardSpec()
    """Payment."""
    goal_range: tuple[float, float] = (1.0, 1.0)
    """Range of the goal scale a specialist is shown; (1, 1) shows 1 always."""


class Phase2Spec(Spec):
    """Training of the meta-controller over frozen specialists."""

    timesteps: int = Field(default=300_000, ge=1)
    """Decisions of experience, over all rows."""
    ppo: PPOSpec = PPOSpec(n_envs=64, n_steps=64, batch_size=1024, gamma=0.5, log_std_init=-0.5, weight_decay=0.0)
    """Learner; its steps are decisions."""
    reward: RewardSpec = RewardSpec()
    """Payment per bar, summed over a decision."""
    decision_bars: int = Field(default=5, ge=1)
    """Bars between decisions (K)."""
    budget_limit: float = Field(default=4.0, gt=0)
    """L: budgets are simplex x appetite x L."""
    budget_smoothing: float = Field(default=0.5, gt=0, le=1)
    """Share of the way from the present to the decided budgets at a decision."""


class CurriculumSpec(Spec):
    """Scenarios of phase 3 by difficulty level."""

    enabled: bool = True
    """Whether difficulty follows progress; otherwise the last level is used throughout."""
    cost_scale: tuple[float, ...] = (1.0, 1.0)
    """Multiplier of costs per level; the last must be 1."""
    volatility_scale: tuple[float, ...] = (1.0, 1.0)
    """Multiplier of price moves per level; the last must be 1."""
    episode_scale: tuple[float, ...] = (0.25, 1.0)
    """Multiplier of the episode length per level."""
    until: tuple[float, ...] = (0.1,)
    """Share of the steps at which each level ends; one entry fewer than levels."""


class Phase3Spec(Spec):
    """Joint fine-tuning of meta-controller and specialists."""

    timesteps: int = Field(default=1_000_000, ge=1)
    """Joint steps (one bar of one row, all agents acting)."""
    n_envs: int = Field(default=128, ge=1)
    """Rows stepped together."""
    n_steps: int = Field(default=60, ge=1)
    """Bars per row and rollout; a multiple of `decision_bars` of phase 2."""
    n_epochs: int = Field(default=5, ge=1)
    """Passes over each rollout."""
    n_minibatches: int = Field(default=4, ge=1)
    """Gradient steps per pass."""
    gamma: float = Field(default=0.9, ge=0, le=1)
    """Discount per bar."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation."""
    clip_range: float = Field(default=0.2, gt=0)
    """Clip of the probability ratio."""
    specialist_learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of specialists at the start, falling linearly to zero."""
    critic_learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of critics at the start, falling linearly to a tenth."""
    meta_learning_rate: float = Field(default=1e-4, gt=0)
    """Step size of the meta-controller: the slow learner."""
    specialist_log_std: float = -0.5
    """Log standard deviation of the specialists' actions at the start."""
    meta_log_std: float = -3.0
    """Log standard deviation of the meta-controller's actions at the start."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the specialists."""
    max_grad_norm: float = Field(default=0.5, gt=0)
    """Largest gradient norm per agent, after aggregation."""
    critic_warmup_rollouts: int = Field(default=5, ge=0)
    """Rollouts that train critics only."""
    meta_update_freq: int = Field(default=1, ge=1)
    """Rollouts between updates of the meta-controller."""
    specialist_update_freq: int = Field(default=1, ge=1)
    """Rollouts between updates of the specialists (all rollouts since are used together)."""
    credit: Literal["difference", "shared"] = "difference"
    """`difference`: marginal contribution to the portfolio's utility; `shared`: the utility itself."""
    peers: bool = True
    """Whether specialists see their peers; False is the control of equal steps."""
    gradient_coordination: bool = True
    """Whether `aggregator` combines a specialist's objectives; otherwise only the portfolio's counts."""
    aggregator: dict[str, Any] = Field(default_factory=lambda: {"name": "primary_projection", "beta": 0.1})
    """Entry of the aggregator registry: how portfolio and own-book gradients become one."""
    adaptive_learning_rates: bool = False
    """Adapt each agent's step size to the measured KL divergence."""
    reward: RewardSpec = RewardSpec()
    """Payment."""
    curriculum: CurriculumSpec = CurriculumSpec()
    """Scenarios by difficulty."""


class EvaluationSpec(Spec):
    """Out-of-sample evaluation."""

    split: Literal["test", "validation"] = "test"
    """Split that is opened."""
    paired_episodes: int = Field(default=256, ge=2)
    """Fresh episodes of the noise-free score (planted markets)."""
    baselines: tuple[str, ...] = (
        "flat", "buy_and_hold", "equal_weight", "inverse_volatility", "momentum", "ma_crossover", "random",
    )
    """Entries of the baseline registry to stand beside the agents."""
    bootstrap_samples: int = Field(default=1000, ge=10)
    """Resamples behind each interval."""
    win_horizon_bars: int = Field(default=10, ge=1)
    """Horizon of the win rate."""


class ExportSpec(Spec):
    """ONNX export."""

    parity_observations: int = Field(default=10_000, ge=1)
    """Real observations on which ONNX must agree with torch."""
    tolerance: float = Field(default=1e-5, gt=0)
    """Largest allowed difference."""


class PipelineSpec(Spec):
    """One pipeline run."""

    seed: int = Field(default=0, ge=0)
    """Root of every random stream."""
    data: DataSpec = DataSpec()
    """Bars and splits."""
    features: FeatureSpec = FeatureSpec()
    """Observations."""
    environment: EnvironmentSpec = EnvironmentSpec()
    """Episodes, account, costs."""
    catalogue: InstrumentsSpec
    """Instruments (from `config/instruments.yaml`)."""
    limits: LimitsSpec = LimitsSpec()
    """Risk layer (from `config/risk.yaml`)."""
    phase1: Phase1Spec = Phase1Spec()
    """Specialists."""
    phase2: Phase2Spec = Phase2Spec()
    """Meta-controller."""
    phase3: Phase3Spec = Phase3Spec()
    """Joint fine-tuning."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """Out-of-sample evaluation."""
    export: ExportSpec = ExportSpec()
    """ONNX."""
    device: str = "cpu"
    """Device of the learners; not part of a unit's key."""
    checkpoint_seconds: float = Field(default=10.0, ge=0)
    """Least time between checkpoints; 0 writes one at every rollout boundary. Not part of a unit's key."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that have at least one traded instrument, in catalogue order."""
        traded = set(self.environment.instruments)
        return tuple(g for g in self.catalogue.groups if traded & set(self.catalogue.members(g)))

    def members(self, group: str) -> tuple[str, ...]:
        """Return the traded symbols of `group` in trading order."""
        inside = set(self.catalogue.members(group))
        return tuple(s for s in self.environment.instruments if s in inside)
