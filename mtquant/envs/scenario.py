"""Where episodes start, how long they run and under which conditions."""

from dataclasses import dataclass

import numpy as np

from mtquant.config.agents import EnvironmentSpec
from mtquant.data.splits import Split
from mtquant.errors import DataError
from mtquant.sim.simulator import Episode
from mtquant.types import Int


@dataclass(frozen=True)
class Scenario:
    """Conditions of the episodes that start from now on."""

    cost_scale: float = 1.0
    """Multiplier of all costs."""
    volatility_scale: float = 1.0
    """Multiplier of price moves, unseen by the causal volatility that positions are sized by."""
    episode_scale: float = 1.0
    """Multiplier of the episode length."""


class EpisodeSchedule:
    """Draws episodes inside the segments of a split; none straddles two histories or splits.

    `multiple` makes lengths a multiple of it, so that rows started together stay in step with
    decisions taken every `multiple` bars.
    """

    def __init__(self, split: Split, history_starts: Int, spec: EnvironmentSpec, *, multiple: int = 1) -> None:
        self.multiple = multiple
        self.length = spec.episode_length
        usable = []
        for start, stop in split.segments:
            begin = int(history_starts[np.searchsorted(history_starts, start, side="right") - 1])
            first = max(start, begin + spec.warmup_steps)
            if stop - 1 - first >= multiple:
                usable.append((first, stop - 1))
        if not usable:
            raise DataError(
                f"The {split.name} split has no part longer than the warm-up of {spec.warmup_steps} bars; "
                "bring more bars or lower `environment.warmup_steps`."
            )
        self.first = np.array([first for first, _ in usable])
        self.last = np.array([last for _, last in usable])

    def draw(
        self, rng: np.random.Generator, rows: int, slots: Int, scenario: Scenario, *, stagger: bool = False
    ) -> Episode:
        """Return `rows` episodes; with `stagger`, of random remaining length so that they end apart."""
        wanted = max(int(self.length * scenario.episode_scale) // self.multiple, 1) * self.multiple
        room = self.last - self.first
        length = np.minimum(wanted, room // self.multiple * self.multiple)
        choices = room - length + 1
        segment = rng.choice(len(choices), size=rows, p=choices / choices.sum())
        start = self.first[segment] + rng.integers(0, choices[segment])
        span = length[segment]
        if stagger:
            span = rng.integers(1, span // self.multiple + 1) * self.multiple
        return Episode(
            start, start + span, slots, np.full(rows, scenario.cost_scale), np.full(rows, scenario.volatility_scale)
        )

    def passes(self, slots: Int) -> Episode:
        """Return one episode per segment that runs through the whole of it."""
        count = len(self.first)
        return Episode(self.first, self.last, np.repeat(slots[None, :], count, axis=0), np.ones(count), np.ones(count))
