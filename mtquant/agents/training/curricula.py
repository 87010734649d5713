"""The kinds of curriculum: which scenario an episode gets, and what changes that.

Each is a state machine without a clock or a random generator of its own: the same starts, draws and evidence give
the same decisions, which is what makes its log replayable.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mtquant.agents.training.evidence import Evidence
from mtquant.config.curriculum import REAL, CurriculumSpec, Kind
from mtquant.envs.scenario import Scenario
from mtquant.types import Float

ANY = -1
"""Tag of an episode that no decision will be based on."""


class Start(NamedTuple):
    """How an episode begins."""

    scenario: Scenario
    tag: int = ANY
    """What the kind will know the episode by when it ended."""
    learned_from: bool = True


class Decision(NamedTuple):
    """What was decided and why; `after` equals `before` where the thresholds were not met."""

    subject: str
    statistic: dict[str, float]
    threshold: dict[str, float]
    before: float
    after: float


class Yardstick(NamedTuple):
    """What figures with a unit are measured against: the real task."""

    volatility: float = 1.0
    """Annual volatility of the market's typical instrument."""
    episode_length: int = 1000
    """Bars."""


class Curriculum(ABC):
    """Levels count from 0; level `levels - 1` is the real task, and no kind is asked for a scenario of it."""

    levels = 2
    draws = True
    """Whether `start` draws random numbers or learns from evidence; without, nothing but decisions is logged."""
    state: ClassVar[tuple[str, ...]] = ()
    """Attributes that change; JSON values."""
    scores = False
    """Whether evidence is the positive value loss of an episode instead of its performance."""

    def level(self, share: float) -> int:
        """Return the level at `share` of the steps; by default randomised scenarios until the real task."""
        return 0

    @abstractmethod
    def start(self, level: int, rng: np.random.Generator) -> Start:
        """Return how the next episode begins."""

    def decide(self, share: float, evidence: Sequence[Evidence]) -> list[Decision]:
        """Take the evidence of the episodes that ended since the last call and return what was decided."""
        return []

    def placed(self, tag: int, first: int, last: int) -> None:  # noqa: B027 - only `plr` wants to know
        """Hear on which bars the episode `tag` runs."""

    def state_dict(self) -> dict[str, Any]:
        """Return JSON values that are not shared with the curriculum."""
        found: dict[str, Any] = json.loads(json.dumps({name: getattr(self, name) for name in self.state}))
        return found

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name in self.state:
            setattr(self, name, json.loads(json.dumps(values[name])))


class Schedule(Curriculum):
    """Levels by share of the steps."""

    draws = False
    state = ("at",)

    def __init__(self, spec: CurriculumSpec, real: Yardstick) -> None:
        self.spec, self.levels, self.at = spec, len(spec.cost_scale), 0

    def level(self, share: float) -> int:
        """Return how many levels end at or before `share`."""
        return sum(share >= end for end in self.spec.until)

    def start(self, level: int, rng: np.random.Generator) -> Start:
        """Return the scales of the level."""
        spec = self.spec
        return Start(Scenario(spec.cost_scale[level], spec.volatility_scale[level], spec.episode_scale[level]))

    def decide(self, share: float, evidence: Sequence[Evidence]) -> list[Decision]:
        """Log a change of level."""
        before, self.at = self.at, self.level(share)
        if self.at == before:
            return []
        return [Decision("level", {"share": share}, {"share": self.spec.until[self.at - 1]}, before, self.at)]


class Levels(Curriculum):
    """The documents' levels: the next one begins when performance on the present one is good and steady."""

    state = ("at", "recent")

    def __init__(self, spec: CurriculumSpec, real: Yardstick) -> None:
        self.spec, self.real = spec, real
        self.levels = len(spec.levels) + 1
        self.at = 0
        self.recent: list[float] = []

    def level(self, share: float) -> int:
        """Return the level that was reached."""
        return self.at

    def start(self, level: int, rng: np.random.Generator) -> Start:
        """Return a scenario of the level with a volatility of its own."""
        found = self.spec.levels[level]
        low, high = found.volatility_range
        anything = "all" in found.market_conditions
        return Start(
            Scenario(
                volatility_scale=float(rng.uniform(low, high)) / self.real.volatility,
                episode_scale=found.episode_length / self.real.episode_length,
                noise_level=found.noise_level,
                conditions=() if anything else tuple(found.market_conditions),
            ),
            level,
        )

    def decide(self, share: float, evidence: Sequence[Evidence]) -> list[Decision]:
        """Judge the last performances on the present level, if there are new ones."""
        new = [found.value for found in evidence if found.tag == self.at]
        if not new:
            return []
        spec, needed = self.spec, self.spec.recent_performances
        self.recent = (self.recent + new)[-needed:]
        mean, std = float(np.mean(self.recent)), float(np.std(self.recent))
        ready = len(self.recent) >= needed and mean > spec.advancement_threshold and std < spec.stability_threshold
        statistic = {"performances": float(len(self.recent)), "mean": mean, "std": std}
        threshold = {"performances": float(needed), "mean": spec.advancement_threshold, "std": spec.stability_threshold}
        before = self.at
        if ready:
            self.at, self.recent = self.at + 1, []
        return [Decision("level", statistic, threshold, before, self.at)]


class Uniform(Curriculum):
    """Plain domain randomisation: every scenario of the ranges is as likely, from beginning to end."""

    def __init__(self, spec: CurriculumSpec, real: Yardstick) -> None:
        self.ranges = ranges_of(spec)

    def start(self, level: int, rng: np.random.Generator) -> Start:
        """Return a scenario of the ranges."""
        return Start(between(self.ranges[:, 0], self.ranges[:, 1], rng))


class ADR(Curriculum):
    """Automatic domain randomisation (OpenAI, Solving Rubik's Cube, 2019, algorithm 1).

    Ranges begin as the real task. Some episodes take one of their numbers from a bound; where the mean performance
    of these is high, the bound moves outwards, where it is low, back. Bounds are numbered 2 i for the lower and
    2 i + 1 for the upper one of number i, in the order of `REAL`.
    """

    state = ("bounds", "seen")

    def __init__(self, spec: CurriculumSpec, real: Yardstick) -> None:
        self.spec = spec.adr
        self.ends = ranges_of(spec).reshape(-1)
        self.middle = np.repeat(list(REAL.values()), 2)
        self.bounds: list[float] = self.middle.tolist()
        self.movable = np.flatnonzero(self.ends != self.middle)
        self.seen: list[list[float]] = [[] for _ in self.bounds]

    def start(self, level: int, rng: np.random.Generator) -> Start:
        """Return a scenario inside the ranges, or at a bound of one of them."""
        low, high = np.array(self.bounds[0::2]), np.array(self.bounds[1::2])
        tag = ANY
        if len(self.movable) and rng.random() < self.spec.boundary_share:
            tag = int(self.movable[rng.integers(len(self.movable))])
            low[tag // 2] = high[tag // 2] = self.bounds[tag]
        return Start(between(low, high, rng), tag)

    def decide(self, share: float, evidence: Sequence[Evidence]) -> list[Decision]:
        """Decide on every bound that was tested often enough."""
        for found in evidence:
            if found.tag != ANY:
                self.seen[found.tag].append(found.value)
        spec, out = self.spec, []
        for bound, values in enumerate(self.seen):
            if len(values) < spec.episodes:
                continue
            mean, before = float(np.mean(values)), self.bounds[bound]
            way = self.ends[bound] - self.middle[bound]
            done = (before - self.middle[bound]) / way
            done += spec.step * (float(mean > spec.success_high) - float(mean < spec.success_low))
            # rounded, so that as many steps back as forth lead to the real task again
            self.bounds[bound] = float(self.middle[bound] + way * round(float(np.clip(done, 0.0, 1.0)), 9))
            out.append(
                Decision(
                    f"{list(REAL)[bound // 2]}.{'high' if bound % 2 else 'low'}",
                    {"episodes": float(len(values)), "mean": mean},
                    {"episodes": float(spec.episodes), "high": spec.success_high, "low": spec.success_low},
                    before,
                    self.bounds[bound],
                )
            )
            self.seen[bound] = []
        return out


class Kept(NamedTuple):
    """A level of `plr`."""

    scenario: Scenario
    score: float
    played: int
    """Number of the episode that played it last."""


class PLR(Curriculum):
    """Robust prioritised level replay (Jiang et al., Replay-Guided Adversarial Environment Design, 2021).

    A level is a scenario on certain bars. New levels are drawn like `Uniform`'s and only scored, never learned
    from; the score is the mean of max(advantage, 0) over the episode. A kept level is replayed with probability
    (1 - rho) rank^(-1/beta) / sum + rho staleness / sum.
    """

    scores = True

    def __init__(self, spec: CurriculumSpec, real: Yardstick) -> None:
        self.spec, self.ranges = spec.plr, ranges_of(spec)
        self.episode = 0
        self.kept: dict[int, Kept] = {}
        self.new: dict[int, Scenario] = {}
        """Levels that are being played for the first time."""
        self.drawn: list[Decision] = []

    def probabilities(self) -> Float:
        """Return the probability with which each kept level is replayed, in the order of `kept`."""
        scores = np.array([level.score for level in self.kept.values()])
        ranks = np.empty(len(scores))
        ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
        weight = ranks ** (-1.0 / self.spec.temperature)
        stale = self.episode - np.array([level.played for level in self.kept.values()], dtype=np.float64)
        # all were played just now: none is staler than another
        share = stale / stale.sum() if stale.any() else np.full(len(stale), 1.0 / len(stale))
        out: Float = (1.0 - self.spec.staleness) * weight / weight.sum() + self.spec.staleness * share
        return out

    def start(self, level: int, rng: np.random.Generator) -> Start:
        """Return a kept level or a new one."""
        coin, pick = rng.random(2)
        self.episode += 1
        before = len(self.kept)
        replay = 2 * before >= self.spec.levels and coin < self.spec.replay_share
        if replay:
            chances = self.probabilities()
            tag = list(self.kept)[min(int(np.searchsorted(np.cumsum(chances), pick)), before - 1)]
            self.kept[tag] = self.kept[tag]._replace(played=self.episode)
            start = Start(self.kept[tag].scenario, tag)
        else:
            tag = self.episode
            self.new[tag] = between(self.ranges[:, 0], self.ranges[:, 1], rng)
            start = Start(self.new[tag], tag, learned_from=False)
        threshold = {"coin": self.spec.replay_share, "kept": float(-(-self.spec.levels // 2))}
        subject = "replay" if replay else "new"
        self.drawn.append(Decision(subject, {"coin": float(coin), "kept": float(before)}, threshold, before, tag))
        return start

    def placed(self, tag: int, first: int, last: int) -> None:
        """Fix a new level to its bars."""
        if tag in self.new:
            self.new[tag] = replace(self.new[tag], at=(first, last))

    def decide(self, share: float, evidence: Sequence[Evidence]) -> list[Decision]:
        """Keep new levels with high scores, and the latest score of those kept; tell what was drawn."""
        out, self.drawn = self.drawn, []
        for tag, score in evidence:
            if tag in self.kept:
                self.kept[tag] = self.kept[tag]._replace(score=score)
            elif tag in self.new:
                out.append(self._offer(tag, Kept(self.new.pop(tag), score, tag)))
        return out

    def _offer(self, tag: int, level: Kept) -> Decision:
        """Keep a level where there is room, or instead of the one with the lowest score."""
        lowest = min(self.kept, key=lambda one: (self.kept[one].score, one), default=ANY)
        full = len(self.kept) >= self.spec.levels
        bar = self.kept[lowest].score if full else 0.0
        before = lowest if full else ANY
        kept = not full or level.score > bar
        if kept:
            if full:
                del self.kept[lowest]
            self.kept[tag] = level
        return Decision("keep", {"score": level.score}, {"score": bar}, before, tag if kept else before)

    def state_dict(self) -> dict[str, Any]:
        """Return all levels, after `decide`."""
        kept = [[tag, one.scenario.values(), one.score, one.played] for tag, one in self.kept.items()]
        new = [[tag, scenario.values()] for tag, scenario in self.new.items()]
        return {"episode": self.episode, "kept": kept, "new": new}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.episode = int(values["episode"])
        self.kept = {
            int(tag): Kept(Scenario.of_values(scenario), float(score), int(played))
            for tag, scenario, score, played in values["kept"]
        }
        self.new = {int(tag): Scenario.of_values(scenario) for tag, scenario in values["new"]}
        self.drawn = []


def ranges_of(spec: CurriculumSpec) -> Float:
    """Return `[4, 2]` the ranges of what can be drawn, in the order of `REAL`."""
    return np.array([getattr(spec.ranges, name) for name in REAL], dtype=np.float64)


def between(low: Float, high: Float, rng: np.random.Generator) -> Scenario:
    """Return the scenario of numbers drawn uniformly from `low` [4] to `high` [4]."""
    cost, volatility, noise, episode = (low + (high - low) * rng.random(len(low))).tolist()
    return Scenario(cost, volatility, episode, noise)


def build_curriculum(spec: CurriculumSpec, real: Yardstick) -> Curriculum:
    """Return the curriculum `spec.kind`."""
    return CURRICULA[spec.kind](spec, real)


CURRICULA: dict[Kind, Callable[[CurriculumSpec, Yardstick], Curriculum]] = {
    "schedule": Schedule,
    "levels": Levels,
    "uniform": Uniform,
    "adr": ADR,
    "plr": PLR,
}
