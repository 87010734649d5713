"""What a trained team is worth on unseen episodes beside the optimum, chance and its agents alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.evaluation.statistics import Interval, ratio_of_means
from mtquant.gates.alone import VOTING, words_alone
from mtquant.gates.desk_stages import FIRST_MARKET, Size, Words, stages_of
from mtquant.gates.desks import DeskTraining, FinishedDesk
from mtquant.types import ActFn, Float

RANDOM = "random"


@dataclass(frozen=True)
class Worth:
    """What everybody was worth, `[U]` independent observations each."""

    team: Float
    best: Float
    rivals: Mapping[str, Float]
    """Random play, and every agent alone."""

    def lead(self, rival: str) -> Interval:
        """Return by how much the team is above a rival, as a share of the optimum."""
        return ratio_of_means(self.team - self.rivals[rival], self.best)


def worth_of(
    training: DeskTraining, acts: Mapping[str, ActFn], alone: Mapping[str, ActFn], size: Size | None = None
) -> Worth:
    """Return what a team, random play and every agent in `alone` are worth."""
    mode = training.mode
    words = {RANDOM: random_words()}
    words |= {agent: alone_words(agent, act, mode in VOTING) for agent, act in alone.items()}
    team: list[Float] = []
    best: list[Float] = []
    rivals: dict[str, list[Float]] = {name: [] for name in words}
    for stage in stages_of(mode, training.bars, read_games(training.environment), size or Size()):
        zero: Float | float = 0.0 if stage.zero is None else stage.play(stage.zero)
        team.append(stage.play(team_words(acts)) - zero)
        best.append(stage.play(stage.best) - zero)
        for name, said in words.items():
            rivals[name].append(stage.play(said) - zero)
    joined = {name: np.concatenate(values) for name, values in rivals.items()}
    return Worth(np.concatenate(team), np.concatenate(best), joined)


def team_words(acts: Mapping[str, ActFn]) -> Words:
    """Return the words of a team whose later agents hear the earlier ones."""

    def words(engine: Any) -> Mapping[str, Float]:
        said: dict[str, Float] = {}
        for agent in engine.game.agents:
            said[agent] = np.asarray(acts[agent](engine.observe(agent)), dtype=np.float64)
            engine.say(agent, said[agent])
        return said

    return words


def alone_words(agent: str, act: ActFn, repeated: bool) -> Words:
    """Return the words of a team in which only `agent` acts (`gates.alone`)."""

    def words(engine: Any) -> Mapping[str, Float]:
        word = np.asarray(act(engine.observe(agent)), dtype=np.float64)
        return words_alone(engine.game, agent, word, repeated)

    return words


def random_words() -> Words:
    """Return words drawn evenly from what may be said."""
    rng = Streams(FIRST_MARKET).rng("random words")
    return lambda engine: {a: engine.game.actions(a).sample(rng, engine.rows) for a in engine.game.agents}


@lru_cache(maxsize=4)
def worth_of_run(run: FinishedDesk) -> Worth:
    """Return `worth_of` a finished training; gates on the same one share it."""
    return worth_of(run.training, run.acts(), run.acts_alone())


@dataclass(frozen=True)
class TeamShare:
    """What the team is worth as a share of the optimum."""

    def __call__(self, run: FinishedDesk) -> Interval:
        worth = worth_of_run(run)
        return ratio_of_means(worth.team, worth.best)


@dataclass(frozen=True)
class SmallestLead:
    """The lead of the team over its nearest rival, that whose interval begins lowest, as a share of the optimum.

    Rivals are random play and every agent as it was trained alone; differences are paired by observation.
    """

    def __call__(self, run: FinishedDesk) -> Interval:
        worth = worth_of_run(run)
        return min((worth.lead(rival) for rival in worth.rivals), key=lambda lead: lead.low)
