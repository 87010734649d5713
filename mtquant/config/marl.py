"""Training of several agents at once: MAPPO, its rollout workers, and the modes that name what is trained."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.curriculum import CurriculumSpec
from mtquant.config.spec import Spec

TEAM_CURRICULA = ("schedule", "uniform")
"""Kinds of curriculum that need no evidence from episodes."""


def _require_team_curriculum(curriculum: CurriculumSpec) -> None:
    if curriculum.kind not in TEAM_CURRICULA:
        raise inconsistent(
            f"`{curriculum.kind}` is decided by how sure one account makes of its edge, which a team does not have; "
            f"teams take {' or '.join(f'`{kind}`' for kind in TEAM_CURRICULA)}.",
            "curriculum.kind",
        )


class TrainingConfig(Spec):
    """What `PettingZooMAPPOTrainer` trains, how long and how.

    The defaults are those of Yu et al. (2022) where they name one.
    """

    env_factory: Callable[..., Any] | None = Field(default=None, exclude=True, repr=False)
    """Returns the environment: PettingZoo (AEC or Parallel), or anything with `batch(rows, rng)`."""
    env_settings: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of `env_factory`; part of what decides whether a finished training is reused."""
    num_episodes: int = Field(default=1000, ge=1)
    """Episodes of experience over all rows; training ends with the rollout that completes them."""
    total_steps: int | None = Field(default=None, ge=1)
    """Steps of experience over all rows (one step: every agent acts once); counts instead of `num_episodes`."""
    episode_length: int | None = Field(default=None, ge=1)
    """Cuts episodes of PettingZoo environments at this many steps; none: they end where the environment says. Of one
    that brings its own rows it only says how long they are, so that progress can be told."""
    restart_episodes: bool = False
    """Begin every rollout with new episodes; for PettingZoo environments that seed and actions do not determine."""

    algorithm: Literal["mappo", "ippo"] = "mappo"
    """`mappo`: the critic sees the whole state; `ippo`: only what its agent sees."""
    share_policy: bool = True
    """Whether agents with equal spaces share one policy and one critic."""
    agent_id: bool = True
    """Whether agents that share are told which of them they are."""
    central_state: Literal["observations", "environment"] = "observations"
    """State of a PettingZoo environment for the critic: all observations, or what its `state` returns."""
    reward_structure: Literal["individual", "cooperative", "competitive"] = "individual"
    """`individual`: as paid; `cooperative`: everybody the mean; `competitive`: own less the mean of the others."""

    n_envs: int = Field(default=32, ge=1)
    """Rows stepped together."""
    n_steps: int = Field(default=64, ge=1)
    """Steps per row and rollout."""
    rollout_shards: int = Field(default=1, ge=1)
    """Parts of the rows that are played each by itself; results depend on it, and not on who plays them."""
    learning_rate: float = Field(default=7e-4, gt=0)
    """Step size of actors and critics."""
    lr_actor: float | None = Field(default=None, gt=0)
    """Step size of actors, where it is another."""
    lr_critic: float | None = Field(default=None, gt=0)
    """Step size of critics, where it is another."""
    learning_rate_schedule: Literal["linear", "constant"] = "constant"
    """`linear` falls to zero at the end of the training."""
    batch_size: int | None = Field(default=None, ge=2)
    """Samples per gradient step; none: the whole rollout, which suits MAPPO best."""
    n_epochs: int = Field(default=10, ge=1)
    """Passes over each rollout."""
    gamma: float = Field(default=0.99, ge=0, le=1)
    """Discount per step."""
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Lambda of generalised advantage estimation."""
    noise_baseline: bool = True
    """Subtract from advantages what price moves explain of them: unbiased, far less noise. Only markets tell them."""
    clip_range: float = Field(default=0.2, gt=0)
    """Clip of the probability ratio."""
    value_clip_range: float | None = Field(default=None, gt=0)
    """Clip of the change of a value, in deviations of the returns; none: no clip."""
    huber_delta: float = Field(default=10.0, gt=0)
    """Error of a value from which the loss is linear, in deviations of the returns."""
    value_norm: bool = True
    """Whether returns are normalised for the critic."""
    value_norm_decay: float = Field(default=0.99999, gt=0, lt=1)
    """Share of the running moments of returns that stays at an update."""
    ent_coef: float = Field(default=0.01, ge=0)
    """Weight of the entropy bonus."""
    max_grad_norm: float = Field(default=10.0, gt=0)
    """Largest gradient norm, of actors and of critics."""
    target_kl: float | None = Field(default=None, gt=0)
    """Divergence from the policy that played, from which no further pass is made; none: all passes."""
    log_std_init: float = 0.0
    """Log standard deviation of continuous actions at the start."""
    actor_hidden: tuple[int, ...] = (64, 64)
    """Widths of the actors' hidden layers."""
    critic_hidden: tuple[int, ...] = (64, 64)
    """Widths of the critics' hidden layers."""
    curriculum: CurriculumSpec | None = None
    """Scenarios of the environments of this package, `schedule` or `uniform`; none: the real task throughout."""

    validations: int = Field(default=0, ge=0)
    """Measurements without exploration, evenly over the training, that choose the best model; 0: the final one."""
    validation_settings: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of `env_factory` that differ in these measurements, as in `split`."""
    validation_episodes: int = Field(default=16, ge=1)
    """Episodes of one measurement, the same ones every time."""

    seed: int = Field(default=0, ge=0)
    """Root of every random stream."""
    device: str = "cpu"
    """Where learning happens."""
    mixed_precision: bool = False
    """Whether networks are computed in bfloat16 while learning, on a GPU that has it; elsewhere nothing changes."""
    checkpoint_seconds: float = Field(default=10.0, ge=0)
    """Least time between two checkpoints."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.n_envs % self.rollout_shards:
            raise inconsistent(
                f"{self.n_envs} rows cannot be cut into {self.rollout_shards} equal shards.", "n_envs", "rollout_shards"
            )
        if self.curriculum is not None:
            _require_team_curriculum(self.curriculum)
        if any(width < 1 for width in (*self.actor_hidden, *self.critic_hidden)):
            raise inconsistent("every layer needs at least one unit.", "actor_hidden", "critic_hidden")
        return self

    def changed(self, **changes: Any) -> "TrainingConfig":
        """Return these settings with `changes`, checked as a whole."""
        return TrainingConfig(**{**{name: getattr(self, name) for name in TrainingConfig.model_fields}, **changes})

    @property
    def actor_rate(self) -> float:
        """Step size of actors."""
        return self.lr_actor or self.learning_rate

    @property
    def critic_rate(self) -> float:
        """Step size of critics."""
        return self.lr_critic or self.learning_rate


class ParallelTrainingConfig(Spec):
    """Rollout workers in processes of their own; how many there are changes no result."""

    num_workers: int = Field(default=4, ge=1)
    """Processes that play."""
    episodes_per_worker: int = Field(default=250, ge=1)
    """Together with `num_workers` the length of a training for which none is named."""
    use_multiprocessing: bool = True
    """Whether workers are processes; otherwise one process plays everything, with the same result."""
    shards: int = Field(default=8, ge=1)
    """Parts of the rows that are handed out; results depend on it, so it is not derived from `num_workers`."""
    worker_timeout: float = Field(default=300.0, gt=0)
    """Seconds after which a worker that has not delivered a rollout of one shard counts as hung."""
    worker_retries: int = Field(default=3, ge=0)
    """How often one shard of one rollout is tried again after a worker died or hung with it."""

    @model_validator(mode="after")
    def _every_worker_has_a_shard(self) -> Self:
        if self.num_workers > self.shards:
            raise inconsistent(
                f"{self.num_workers} workers have only {self.shards} shards between them; raise `shards`.",
                "num_workers",
                "shards",
            )
        return self


class TrainingMode(StrEnum):
    """Which environment is trained on; `mixed` is each of the four in turn."""

    STRATEGIC = "strategic"
    TACTICAL = "tactical"
    RISK = "risk"
    EXECUTION = "execution"
    TACTICAL_TEAM = "tactical-team"
    STRATEGIC_TEAM = "strategic-team"
    MIXED = "mixed"

    @property
    def parts(self) -> tuple["TrainingMode", ...]:
        """The environments that this stands for."""
        four = (TrainingMode.STRATEGIC, TrainingMode.TACTICAL, TrainingMode.RISK, TrainingMode.EXECUTION)
        return four if self is TrainingMode.MIXED else (self,)


class UnifiedTrainingConfig(Spec):
    """What `UnifiedPettingZooTrainer` does: an environment by name, and what is done around its training."""

    training_mode: TrainingMode = TrainingMode.TACTICAL
    """Environment."""
    total_episodes: int | None = Field(default=None, ge=1)
    """Episodes of experience over all rows; none: what `training` says, for a team its own `num_episodes`."""
    environment: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of every environment: `config` (settings, reward weights among them), `bars`, `max_cycles`."""
    training: TrainingConfig = TrainingConfig(n_envs=64, n_steps=64)
    """How it is learned; for a team `lr_actor` and `lr_critic` are its own unless they are stated here."""
    enable_curriculum_learning: bool = False
    """Whether episodes get harder as training goes on, where the environment has scenarios."""
    curriculum: CurriculumSpec = CurriculumSpec()
    """The scenarios."""
    enable_hyperparameter_optimization: bool = False
    """Whether short trainings with each of `search_rates` come first; the best on the validation split is kept."""
    search_rates: tuple[float, ...] = (2e-4, 7e-4, 2e-3)
    """Step sizes to try."""
    search_share: float = Field(default=0.1, gt=0, le=1)
    """Length of a short training, as a share of the whole one."""
    validations: int = Field(default=5, ge=0)
    """Measurements on the validation split during training, by which the best model is chosen; 0: the final one."""
    evaluation_episodes: int = Field(default=100, ge=1)
    """Episodes without exploration at the end, on the test split."""

    @model_validator(mode="after")
    def _can_be_played(self) -> Self:
        if self.enable_curriculum_learning:
            _require_team_curriculum(self.curriculum)
        return self

    @model_validator(mode="after")
    def _can_search(self) -> Self:
        if not self.search_rates or any(rate <= 0 for rate in self.search_rates):
            raise inconsistent("the search needs step sizes above 0.", "search_rates")
        return self

    @property
    def seed(self) -> int:
        """Root of every random stream."""
        return self.training.seed

    @property
    def device(self) -> str:
        """Where learning happens."""
        return self.training.device

    @property
    def checkpoint_seconds(self) -> float:
        """Least time between two checkpoints."""
        return self.training.checkpoint_seconds
