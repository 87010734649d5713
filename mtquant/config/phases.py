"""How agents are paid and trained: rewards, the learner and the three phases."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.curriculum import CurriculumSpec
from mtquant.config.spec import Spec


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

    @property
    def is_utility(self) -> bool:
        """Whether a bar is paid its mean-variance utility after costs, and nothing else."""
        weights = self.risk_penalty_weight, self.transaction_cost_weight
        extras = self.diversification_bonus_weight, self.downside_volatility_weight
        return self.name == "mean_variance" and weights == (1.0, 1.0) and extras == (0.0, 0.0)


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
    actor_hidden: tuple[int, ...] = (64, 64)
    """Widths of the actor's hidden layers; none makes it linear in the normalised observation."""
    critic_hidden: tuple[int, ...] = (64, 64)
    """Widths of the critic's hidden layers."""
    noise_baseline: bool = True
    """Subtract from advantages what price moves explain of them: unbiased, far less noise."""

    @model_validator(mode="after")
    def _batch_fits_rollout(self) -> Self:
        rollout = self.n_envs * self.n_steps
        if self.batch_size > rollout:
            raise inconsistent(
                f"a batch of {self.batch_size} does not fit into a rollout of n_envs x n_steps = {self.n_envs} x "
                f"{self.n_steps} = {rollout} samples; lower `batch_size` or raise `n_steps`.",
                "batch_size",
                "n_envs",
                "n_steps",
            )
        if any(width < 1 for width in (*self.actor_hidden, *self.critic_hidden)):
            raise inconsistent("every layer needs at least one unit.", "actor_hidden", "critic_hidden")
        return self


class Phase1Spec(Spec):
    """Training of one specialist per group."""

    timesteps: int = Field(default=500_000, ge=1)
    """Bars of experience per specialist, over all rows."""
    ppo: PPOSpec = PPOSpec(log_std_init=-1.4, actor_hidden=())
    """Learner. A linear actor over the features: measured, hidden layers only added noise."""
    reward: RewardSpec = RewardSpec()
    """Payment."""
    constant_exposure: float | None = None
    """Exposure that every specialist holds instead of learning one: phase 2 then allocates over the instruments."""


class Phase2Spec(Spec):
    """Training of the meta-controller over frozen specialists."""

    timesteps: int = Field(default=300_000, ge=1)
    """Decisions of experience, over all rows."""
    ppo: PPOSpec = PPOSpec(
        n_envs=64, n_steps=64, batch_size=1024, gamma=0.5, log_std_init=-0.5, weight_decay=0.0, actor_hidden=()
    )
    """Learner; its steps are decisions. A linear actor, as in phase 1."""
    reward: RewardSpec = RewardSpec()
    """Payment per bar, summed over a decision."""
    decision_bars: int = Field(default=5, ge=1)
    """Bars between decisions (K)."""
    budget_limit: float = Field(default=4.0, gt=0)
    """L: budgets are simplex x appetite x L."""
    budget_smoothing: float = Field(default=0.5, gt=0, le=1)
    """Share of the way from the present to the decided budgets at a decision."""


class TailSpec(Spec):
    """Constraint on how often a bar's loss is large, learned by the meta-controller (off by default).

    The limits before the fact hold at every bar; this one is about what really happens.
    """

    enabled: bool = False
    """Whether the meta-controller is held to it."""
    level: float = Field(default=0.02, gt=0)
    """Loss of one bar, share of equity, that counts as large."""
    budget: float = Field(default=0.05, ge=0, lt=1)
    """Share of bars whose loss may be large."""
    proportional_gain: float = Field(default=1.0, ge=0)
    """Multiplier per unit of the smoothed excess of the rate over the budget."""
    integral_gain: float = Field(default=0.1, ge=0)
    """Multiplier per unit of excess and rollout."""
    derivative_gain: float = Field(default=0.1, ge=0)
    """Multiplier per unit by which the rate rose over `delay` rollouts."""
    delay: int = Field(default=10, ge=1)
    """Rollouts."""


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
    specialist_learning_rate: float = Field(default=2e-3, gt=0)
    """Step size of specialists at the start, falling linearly to zero."""
    critic_learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of critics at the start, falling linearly to a tenth."""
    meta_learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of the meta-controller at the start, falling linearly to zero."""
    specialist_log_std: float = -2.0
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
    credit: Literal["counterfactual", "difference", "shared"] = "counterfactual"
    """`counterfactual`: what deviating from the policy's mean action changed on the same prices, by the ledger's
    derivative; `difference`: marginal contribution to the portfolio's utility; `shared`: the utility itself. A
    meta-controller whose `reward` is not the plain utility learns from that reward, whatever stands here."""
    noise_baseline: bool = True
    """Subtract from the specialists' advantages what price moves explain of them: unbiased, far less noise. With
    `counterfactual` credit there is nothing left to subtract."""
    peers: bool = True
    """Whether specialists see their peers; False is the control of equal steps."""
    gradient_coordination: bool = True
    """Whether `aggregator` combines a specialist's objectives; otherwise only the portfolio's counts."""
    aggregator: dict[str, Any] = Field(default_factory=lambda: {"name": "portfolio_only"})
    """Entry of the aggregator registry: how portfolio and own-book gradients become one."""
    adaptive_learning_rates: bool = False
    """Adapt each agent's step size to the measured KL divergence."""
    peer_aggregator: dict[str, Any] | None = None
    """How the gradients of one specialist's instruments, which are peers, become its portfolio gradient, as in
    `{name: upgrad}`; none: their mean."""
    sequential: bool = False
    """Update specialists one after the other in random order, each correcting for those before it (HAPPO)."""
    kl_anchor: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the policies that phase 3 began with, falling linearly to zero."""
    tail: TailSpec = TailSpec()
    """Learned constraint on large losses."""
    reward: RewardSpec = RewardSpec()
    """Payment."""
    curriculum: CurriculumSpec = CurriculumSpec()
    """Scenarios by difficulty."""

    def differentiates(self, *, meta: bool) -> bool:
        """Whether the ledger's derivative credits the meta-controller (`meta`) or the specialists."""
        return self.credit == "counterfactual" and (not meta or self.reward.is_utility)

    @model_validator(mode="after")
    def _minibatches_fit_rollout(self) -> Self:
        if self.n_minibatches > self.n_envs * self.n_steps:
            raise inconsistent(
                f"{self.n_minibatches} minibatches cannot be cut from a rollout of n_envs x n_steps = "
                f"{self.n_envs * self.n_steps} samples.",
                "n_minibatches",
                "n_envs",
                "n_steps",
            )
        for field, found in (("aggregator", self.aggregator), ("peer_aggregator", self.peer_aggregator)):
            if found is not None and not isinstance(found.get("name"), str):
                raise inconsistent("an aggregator needs a `name`, as in `{name: upgrad}`.", field)
        return self
