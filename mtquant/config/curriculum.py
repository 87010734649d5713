"""Which scenarios phase 3 trains on and what moves them (`phase3.curriculum`)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.spec import Spec

Range = tuple[float, float]
Condition = Literal["all", "strong_trend", "trend", "sideways", "volatile"]
Kind = Literal["schedule", "levels", "adr", "plr", "uniform"]


class LevelSpec(Spec):
    """One difficulty level of the documents, before the real task."""

    market_conditions: tuple[Condition, ...] = ("all",)
    """What the market did before an episode starts (`envs.conditions`)."""
    volatility_range: Range = (0.05, 1.0)
    """Annual volatility of the market's typical instrument, drawn per episode; price moves are scaled to it."""
    noise_level: float = Field(default=0.0, ge=0)
    """Standard deviation of the noise on what agents see of the market, in standard deviations of each number."""
    episode_length: int = Field(default=1000, ge=1)
    """Bars per episode; shorter where a split is shorter."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        low, high = self.volatility_range
        if not 0 < low <= high:
            raise inconsistent(f"`{[low, high]}` has to be above 0 and not fall.", "volatility_range")
        if not self.market_conditions:
            raise inconsistent("the list is empty; `[all]` takes any.", "market_conditions")
        return self


DOCUMENTED_LEVELS = (
    LevelSpec(market_conditions=("strong_trend",), volatility_range=(0.1, 0.3), noise_level=0.1, episode_length=500),
    LevelSpec(
        market_conditions=("trend", "sideways"), volatility_range=(0.2, 0.5), noise_level=0.2, episode_length=1000
    ),
    LevelSpec(
        market_conditions=("trend", "sideways", "volatile"),
        volatility_range=(0.1, 0.8),
        noise_level=0.3,
        episode_length=1500,
    ),
)
"""The documents' levels 0 to 2; their level 3, "real market complexity", is the real task and not listed."""

REAL = {"cost_scale": 1.0, "volatility_scale": 1.0, "noise_level": 0.0, "episode_scale": 1.0}
"""What can be drawn at random, with its value in the real task."""


class RangesSpec(Spec):
    """The widest scenarios of `uniform`, `adr` and `plr`; every range holds the value of the real task."""

    cost_scale: Range = (0.5, 2.0)
    """Multiplier of costs."""
    volatility_scale: Range = (0.5, 1.5)
    """Multiplier of price moves, unseen by the volatility that positions are sized by."""
    noise_level: Range = (0.0, 0.3)
    """As in a level."""
    episode_scale: Range = (0.25, 1.0)
    """Multiplier of the episode length."""

    @model_validator(mode="after")
    def _hold_the_real_task(self) -> Self:
        for name, real in REAL.items():
            low, high = getattr(self, name)
            least = 0.0 if name == "noise_level" else 1e-9
            if not least <= low <= real <= high:
                raise inconsistent(
                    f"`{[low, high]}` has to rise, from {'0' if least == 0.0 else 'above 0'}, and to hold {real:g}, "
                    "the real task.",
                    name,
                )
        return self


class ADRSpec(Spec):
    """Automatic domain randomisation: ranges that widen where agents succeed at their bounds (OpenAI, 2019)."""

    boundary_share: float = Field(default=0.5, gt=0, le=1)
    """Share of episodes that test a bound; the others are drawn inside the ranges."""
    episodes: int = Field(default=20, ge=1)
    """Episodes at a bound before it is decided on."""
    success_high: float = Field(default=0.7, gt=0, lt=1)
    """Mean performance at a bound from which it is moved outwards."""
    success_low: float = Field(default=0.5, gt=0, lt=1)
    """Mean performance at a bound below which it is moved back."""
    step: float = Field(default=0.1, gt=0, le=1)
    """How far a bound moves, as a share of the way from the real task to the end of its range."""

    @model_validator(mode="after")
    def _thresholds_rise(self) -> Self:
        if self.success_low >= self.success_high:
            raise inconsistent(
                f"{self.success_low} has to be below `success_high`, {self.success_high}.", "success_low"
            )
        return self


class PLRSpec(Spec):
    """Robust prioritised level replay (Jiang et al., 2021): play again what there is most to learn from."""

    levels: int = Field(default=64, ge=2)
    """Levels kept; replay begins when half of them are there."""
    replay_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of episodes that are replayed; only these are learned from."""
    temperature: float = Field(default=0.3, gt=0)
    """beta: a level of rank r in the scores is replayed in proportion to r^(-1/beta)."""
    staleness: float = Field(default=0.3, ge=0, le=1)
    """rho: weight of how long ago a level was played, against its score."""


class CurriculumSpec(Spec):
    """Scenarios of phase 3; whatever the kind, training ends with the real task."""

    enabled: bool = True
    """Whether there is a curriculum; otherwise the real task is used throughout."""
    kind: Kind = "schedule"
    """`schedule`: scales by share of the steps; `levels`: the documents' levels, by performance; `uniform`: plain
    domain randomisation; `adr`: automatic domain randomisation; `plr`: prioritised level replay."""
    real_share: float = Field(default=0.25, ge=0, lt=1)
    """Least share of the steps, at the end, whose new episodes are the real task."""
    cost_scale: tuple[float, ...] = (1.0, 1.0)
    """`schedule`: multiplier of costs per level; the last must be 1."""
    volatility_scale: tuple[float, ...] = (1.0, 1.0)
    """`schedule`: multiplier of price moves per level; the last must be 1."""
    episode_scale: tuple[float, ...] = (0.25, 1.0)
    """`schedule`: multiplier of the episode length per level; the last must be 1."""
    until: tuple[float, ...] = (0.1,)
    """`schedule`: share of the steps at which each level ends; one entry fewer than levels."""
    levels: tuple[LevelSpec, ...] = DOCUMENTED_LEVELS
    """`levels`: the levels before the real task."""
    advancement_threshold: float = Field(default=0.7, gt=0, lt=1)
    """`levels`: mean of the recent performances above which the next level begins."""
    stability_threshold: float = Field(default=0.2, gt=0)
    """`levels`: standard deviation of the recent performances below which it may."""
    recent_performances: int = Field(default=100, ge=2)
    """`levels`: number of performances (episodes of the present level) that are judged."""
    ranges: RangesSpec = RangesSpec()
    """`uniform`, `adr`, `plr`: what is drawn from."""
    adr: ADRSpec = ADRSpec()
    """`adr`: when bounds move."""
    plr: PLRSpec = PLRSpec()
    """`plr`: what is replayed."""

    @model_validator(mode="after")
    def _schedule_agrees(self) -> Self:
        scales = ("cost_scale", "volatility_scale", "episode_scale")
        levels = {name: len(getattr(self, name)) for name in scales}
        if len(set(levels.values())) > 1 or len(self.until) != levels["cost_scale"] - 1:
            found = ", ".join(f"`{name}` {count}" for name, count in levels.items())
            raise inconsistent(
                f"{found} levels and `until` {len(self.until)} ends; each scale needs one entry per level, `until` "
                "one fewer.",
                *scales,
                "until",
            )
        for name in scales:
            values = getattr(self, name)
            if any(value <= 0 for value in values) or values[-1] != 1:
                raise inconsistent(
                    f"`{list(values)}` has to be above 0 throughout and 1 at the last level, which is the real task.",
                    name,
                )
        if list(self.until) != sorted(set(self.until)) or not all(0 < end < 1 for end in self.until):
            raise inconsistent(f"`{list(self.until)}` has to rise, between 0 and 1.", "until")
        return self

    @model_validator(mode="after")
    def _ends_with_the_real_task(self) -> Self:
        if self.kind == "schedule" and self.until and self.until[-1] > 1.0 - self.real_share:
            raise inconsistent(
                f"the last level would begin at {self.until[-1]:g} of the steps, but the last {self.real_share:g} of "
                "them are the real task; lower `real_share`.",
                "until",
                "real_share",
            )
        if self.kind == "levels" and not self.levels:
            raise inconsistent("the list is empty; `enabled: false` trains on the real task throughout.", "levels")
        return self
