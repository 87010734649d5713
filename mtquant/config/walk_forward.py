"""Several trainings, each tested on bars that come after what it saw."""

from math import comb
from typing import Literal, Self

from pydantic import Field, model_validator

from mtquant.config.consistency import inconsistent
from mtquant.config.spec import Spec


class WalkForwardSpec(Spec):
    """Folds of a walk-forward (`train --walk-forward`)."""

    enabled: bool = False
    """Train and test once per fold instead of once."""
    scheme: Literal["anchored", "rolling", "combinatorial"] = "anchored"
    """`anchored`: train from the first bar on; `rolling`: on as many bars as the first fold; `combinatorial`: every
    choice of `test_groups` of `groups` is tested once (a diagnostic: it trains on bars after some of its tests)."""
    folds: int = Field(default=4, ge=2)
    """Test blocks of equal length, one after the other, up to the last bar (anchored and rolling)."""
    first_train_fraction: float = Field(default=0.5, gt=0, lt=1)
    """Share of all bars before the first test block: its train and validation bars."""
    validation_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the bars before a test block that models are chosen on, the last of them."""
    horizon_bars: int = Field(default=10, ge=0)
    """Bars a decision looks ahead. With the warm-up, which is the longest window of a feature, it is the least number
    of bars left out between train, validation and test."""
    groups: int = Field(default=6, ge=3)
    """Parts the bars are cut into (combinatorial)."""
    test_groups: int = Field(default=2, ge=2)
    """Parts that are tested together (combinatorial)."""

    @property
    def count(self) -> int:
        """Number of folds; 0 where it is off."""
        if not self.enabled:
            return 0
        return comb(self.groups, self.test_groups) if self.scheme == "combinatorial" else self.folds

    @model_validator(mode="after")
    def _leaves_groups_to_train_on(self) -> Self:
        if self.test_groups >= self.groups:
            raise inconsistent(
                f"of {self.groups} groups {self.test_groups} are tested, which leaves none to train on.",
                "groups",
                "test_groups",
            )
        return self
