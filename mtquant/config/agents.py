"""Everything a pipeline run can be told (`config/agents.yaml` and `config/profiles/`).

The defaults here are the `default` profile; YAML holds only what differs. The documents' spelling
(`training:` block and the like) is translated by `config.documented`.
"""

from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.curriculum import CurriculumSpec
from mtquant.config.instruments import InstrumentsSpec
from mtquant.config.phases import Phase1Spec, Phase2Spec, Phase3Spec, PPOSpec, RewardSpec
from mtquant.config.risk import LimitsSpec
from mtquant.config.single_agent import SingleAgentSpec
from mtquant.config.spec import Spec
from mtquant.config.walk_forward import WalkForwardSpec
from mtquant.registry import did_you_mean

__all__ = [
    "CurriculumSpec",
    "DataSpec",
    "EnvironmentSpec",
    "EvaluationSpec",
    "ExportSpec",
    "FeatureSpec",
    "PPOSpec",
    "Phase1Spec",
    "Phase2Spec",
    "Phase3Spec",
    "PipelineSpec",
    "RewardSpec",
    "SingleAgentSpec",
    "WalkForwardSpec",
]

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

    @model_validator(mode="after")
    def _leaves_a_test_split(self) -> Self:
        if self.train_fraction + self.validation_fraction >= 1:
            raise inconsistent(
                f"{self.train_fraction} for training and {self.validation_fraction} for validation leave nothing for "
                "the test split; their sum has to be below 1.",
                "train_fraction",
                "validation_fraction",
            )
        return self


class FeatureSpec(Spec):
    """What an agent sees of one instrument; every entry is causal."""

    return_half_lives: tuple[float, ...] = (1.0, 2.5, 6.0, 12.0, 24.0, 48.0)
    """Half-lives, in bars, of the exponential means of volatility-scaled returns."""
    return_lags: int = Field(default=4, ge=0)
    """Number of last volatility-scaled returns shown one by one."""
    indicators: tuple[str, ...] = ("rsi", "adx", "bollinger", "macd", "range", "volume", "volatility_ratio", "drawdown")
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

    @model_validator(mode="after")
    def _half_lives_are_positive(self) -> Self:
        if any(half_life <= 0 for half_life in self.return_half_lives):
            raise inconsistent("every half-life has to be above 0.", "return_half_lives")
        return self


class EnvironmentSpec(Spec):
    """Episodes, account and costs."""

    instruments: tuple[str, ...] = INSTRUMENTS
    """Symbols to trade; each needs an entry in `config/instruments.yaml`."""
    episode_length: int = Field(default=1000, ge=1)
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
    target_range: float = Field(default=2.0, gt=0)
    """Exposure that a specialist's action of 1 asks for; wide enough that exploration is rarely cut off."""
    adjustment_rate: float = Field(default=0.33, gt=0, le=1)
    """Share of the way from the present to the target exposure that is traded each bar."""

    @model_validator(mode="after")
    def _instruments_are_named_once(self) -> Self:
        twice = sorted({s for s in self.instruments if self.instruments.count(s) > 1})
        if twice or not self.instruments:
            found = f"{', '.join(f'`{s}`' for s in twice)} stands twice" if twice else "the list is empty"
            raise inconsistent(f"{found}; name each instrument to trade once.", "instruments")
        return self


class EvaluationSpec(Spec):
    """Out-of-sample evaluation."""

    split: Literal["test", "validation"] = "test"
    """Split that is opened."""
    first_day: date | None = None
    """First day (UTC) to evaluate instead of a whole split; it may not lie in train or validation."""
    last_day: date | None = None
    """Last day (UTC) to evaluate."""
    paired_episodes: int = Field(default=256, ge=2)
    """Fresh episodes of the noise-free score (planted markets)."""
    baselines: tuple[str, ...] = (
        "flat",
        "buy_and_hold",
        "equal_weight",
        "inverse_volatility",
        "risk_parity",
        "minimum_variance",
        "momentum",
        "ma_crossover",
        "macd",
        "random",
    )
    """Entries of the baseline registry to stand beside the agents."""
    bootstrap_samples: int = Field(default=1000, ge=10)
    """Resamples behind each interval."""
    earlier_trials: int = Field(default=0, ge=0)
    """Trials on the same bars that this store does not know of; they count when a Sharpe ratio is deflated."""
    attribution: bool = True
    """Split the profit into specialists, allocation, risk layer and costs."""
    robustness: bool = True
    """Trade the split again under other costs, delay, noise and stressed markets."""
    explained_bars: int = Field(default=0, ge=0)
    """Bars, evenly spread, of which the report says what moved the decisions; 0: none. Needs the extra `explain`."""
    random_draws: int = Field(default=1000, ge=0)
    """Random policies with the agent's turnover that it is ranked among."""
    win_horizon_bars: int = Field(default=10, ge=1)
    """Horizon of the win rate."""

    @property
    def by_date(self) -> bool:
        """Whether days are named instead of a split."""
        return self.first_day is not None or self.last_day is not None


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
    single_agent: SingleAgentSpec = SingleAgentSpec()
    """Control without a hierarchy."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """Out-of-sample evaluation."""
    walk_forward: WalkForwardSpec = WalkForwardSpec()
    """Several trainings, each tested on later bars (`train --walk-forward`)."""
    export: ExportSpec = ExportSpec()
    """ONNX."""
    device: str = "cpu"
    """Device of the learners; not part of a unit's key."""
    checkpoint_seconds: float = Field(default=10.0, ge=0)
    """Least time between checkpoints; 0 writes one at every rollout boundary. Not part of a unit's key."""

    @model_validator(mode="after")
    def _instruments_are_known(self) -> Self:
        known = self.catalogue.instruments
        for symbol in self.environment.instruments:
            if symbol not in known:
                raise inconsistent(
                    f"`{symbol}` has no entry in `config/instruments.yaml`.{did_you_mean(symbol, known)}",
                    "environment.instruments",
                )
        return self

    @model_validator(mode="after")
    def _decisions_fit_rollouts_and_episodes(self) -> Self:
        bars, steps = self.phase2.decision_bars, self.phase3.n_steps
        if steps % bars:
            raise inconsistent(
                f"a rollout of {steps} bars does not hold whole decisions of {bars} bars; make `phase3.n_steps` a "
                f"multiple of `phase2.decision_bars`, for example {max(1, round(steps / bars)) * bars}.",
                "phase3.n_steps",
                "phase2.decision_bars",
            )
        if self.environment.episode_length < bars:
            raise inconsistent(
                f"an episode of {self.environment.episode_length} bars is shorter than one decision of {bars}.",
                "environment.episode_length",
                "phase2.decision_bars",
            )
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that have at least one traded instrument, in catalogue order."""
        traded = set(self.environment.instruments)
        return tuple(g for g in self.catalogue.groups if traded & set(self.catalogue.members(g)))

    @property
    def single_agent_timesteps(self) -> int:
        """Bars of experience of the single agent: by default those of all phases."""
        every = self.phase1.timesteps * len(self.groups) + self.phase2.timesteps * self.phase2.decision_bars
        return self.single_agent.timesteps or every + self.phase3.timesteps

    def members(self, group: str) -> tuple[str, ...]:
        """Return the traded symbols of `group` in trading order."""
        inside = set(self.catalogue.members(group))
        return tuple(s for s in self.environment.instruments if s in inside)
