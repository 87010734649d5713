"""Where episodes start, how long they run and under which conditions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mtquant.config.agents import EnvironmentSpec
from mtquant.data.splits import Split
from mtquant.envs.conditions import is_one_of
from mtquant.errors import DataError
from mtquant.sim.simulator import Episode
from mtquant.types import Int


@dataclass(frozen=True)
class Scenario:
    """Conditions of one episode; the defaults are the real task."""

    cost_scale: float = 1.0
    """Multiplier of all costs."""
    volatility_scale: float = 1.0
    """Multiplier of price moves, unseen by the causal volatility that positions are sized by."""
    episode_scale: float = 1.0
    """Multiplier of the episode length."""
    noise_level: float = 0.0
    """Standard deviation of the noise on what is seen of the market, in standard deviations of each number."""
    conditions: tuple[str, ...] = ()
    """What the market did before the start, names of `conditions.NAMES`; none: anything."""
    at: tuple[int, int] | None = None
    """First and last bar of an episode that is played again; None: drawn."""

    def values(self) -> dict[str, Any]:
        """Return what JSON holds, for `of_values`."""
        lists = {"conditions": list(self.conditions), "at": None if self.at is None else list(self.at)}
        return vars(self) | lists

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> "Scenario":
        """Return what `values` came from."""
        at = values["at"]
        tuples = {"conditions": tuple(values["conditions"]), "at": None if at is None else (int(at[0]), int(at[1]))}
        return cls(**(values | tuples))


REAL_TASK = Scenario()


class ScenarioSource(Protocol):
    """Says under which conditions new episodes are played."""

    def scenarios(self, rows: Int) -> Sequence[Scenario]:
        """Return one for each of `rows`, whose episodes begin now."""

    def placed(self, rows: Int, episode: Episode) -> None:
        """Hear which episodes they became."""


@dataclass(frozen=True)
class RowScenarios:
    """A source that gives every row a scenario of its own."""

    given: Sequence[Scenario]
    """One per row."""

    def scenarios(self, rows: Int) -> Sequence[Scenario]:
        """Return those of `rows`."""
        return [self.given[row] for row in rows]

    def placed(self, rows: Int, episode: Episode) -> None:
        """Hear which episodes they became, on which nothing depends."""


class EpisodeSchedule:
    """Draws episodes inside the segments of a split; none straddles two histories or splits.

    `multiple` makes lengths a multiple of it, so that rows started together stay in step with
    decisions taken every `multiple` bars. `labels` gives `[T]` the market's conditions; it is asked only where
    a scenario names some.
    """

    def __init__(
        self,
        split: Split,
        history_starts: Int,
        spec: EnvironmentSpec,
        *,
        multiple: int = 1,
        labels: Callable[[], Int] | None = None,
    ) -> None:
        self.multiple = multiple
        self.length = spec.episode_length
        self.split = split.name
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
        self.labels = labels
        self._starts: dict[tuple[str, ...], tuple[Int, Int]] = {}

    def draw(
        self, rng: np.random.Generator, slots: Int, scenarios: Sequence[Scenario], *, stagger: bool = False
    ) -> Episode:
        """Return one episode per scenario; with `stagger`, of random remaining length so that they end apart.

        `slots` [n, k] are the instruments. Raises `DataError` where the split never saw the conditions named.
        """
        start, span = np.zeros((2, len(scenarios)), dtype=np.int64)
        alike: dict[Any, list[int]] = {}
        for row, scenario in enumerate(scenarios):
            alike.setdefault((scenario.episode_scale, scenario.conditions, scenario.at), []).append(row)
        for rows in alike.values():
            scenario = scenarios[rows[0]]
            if scenario.at is not None:
                start[rows], span[rows] = scenario.at[0], scenario.at[1] - scenario.at[0]
            else:
                start[rows], span[rows] = self._draw(rng, len(rows), scenario)
                if stagger:
                    span[rows] = rng.integers(1, span[rows] // self.multiple + 1) * self.multiple
        return Episode(
            start,
            start + span,
            slots,
            np.array([s.cost_scale for s in scenarios]),
            np.array([s.volatility_scale for s in scenarios]),
            np.array([s.noise_level for s in scenarios]),
        )

    def _draw(self, rng: np.random.Generator, rows: int, scenario: Scenario) -> tuple[Int, Int]:
        """Return starts and lengths; every start that leaves room for the length is as likely."""
        # the addend keeps 500/60 of 60 bars from being 499
        wanted = max(int(self.length * scenario.episode_scale + 1e-9) // self.multiple, 1) * self.multiple
        if scenario.conditions:
            starts, room = self.starts_after(scenario.conditions)
            length = min(wanted, int(room[0]) // self.multiple * self.multiple)
            roomy = np.searchsorted(-room, -length, side="right")
            return starts[rng.integers(0, roomy, size=rows)], np.full(rows, length)
        room = self.last - self.first
        lengths = np.minimum(wanted, room // self.multiple * self.multiple)
        choices = room - lengths + 1
        segment = rng.choice(len(choices), size=rows, p=choices / choices.sum())
        return self.first[segment] + rng.integers(0, choices[segment]), lengths[segment]

    def starts_after(self, names: tuple[str, ...]) -> tuple[Int, Int]:
        """Return the bars after one of the conditions and the room behind each, the roomiest first.

        Raises `DataError` where there is none.
        """
        if names not in self._starts:
            self._starts[names] = self._look_for(names)
        return self._starts[names]

    def _look_for(self, names: tuple[str, ...]) -> tuple[Int, Int]:
        every = [np.arange(a, b - self.multiple + 1) for a, b in zip(self.first, self.last, strict=True)]
        bars = np.concatenate(every)
        room = np.concatenate([b - part for part, b in zip(every, self.last, strict=True)])
        found = is_one_of(self.labels()[bars], names) if self.labels else np.zeros(len(bars), dtype=bool)
        if not found.any():
            raise DataError(
                f"The {self.split} split has no bar after which an episode under {' or '.join(names)} could start; "
                "bring more bars, or write `market_conditions: [all]` in the level."
            )
        order = np.argsort(-room[found], kind="stable")
        return bars[found][order], room[found][order]

    def passes(self, slots: Int) -> Episode:
        """Return one episode per segment that runs through the whole of it."""
        count = len(self.first)
        return Episode(self.first, self.last, np.repeat(slots[None, :], count, axis=0), np.ones(count), np.ones(count))
