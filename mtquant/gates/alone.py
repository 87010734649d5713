"""One agent of an environment acting alone, so that gates can say what the rest of its team adds.

The others say the middle of their range (NEUTRAL, MAINTAIN, 0). Where agents vote on one decision, neutral votes would
bind the one that acts: the median of one vote and two NEUTRAL is NEUTRAL. There the others repeat its vote instead, and
it decides by itself from what it sees.
"""

from typing import Any

import numpy as np

from mtquant.agents.training.unified_pettingzoo_trainer import ENVIRONMENTS
from mtquant.config.marl import TrainingMode
from mtquant.envs.engine import Engine, Rules
from mtquant.envs.market_team import MarketTeam
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.spaces import Actions
from mtquant.envs.team import TeamStep
from mtquant.types import Array

VOTING = (TrainingMode.STRATEGIC, TrainingMode.TACTICAL)
"""Modes whose agents vote on one decision."""


def neutral(actions: Actions, rows: int) -> Array:
    """Return `[rows, a]` the middle of what may be chosen."""
    return np.full((rows, actions.size), 0.5 * (actions.low + actions.high))


def words_alone(game: Rules, agent: str, word: Array, repeated: bool) -> dict[str, Array]:
    """Return what everybody says where only `agent` has a `word` [N, a] of its own."""
    return {name: word if repeated or name == agent else neutral(game.actions(name), len(word)) for name in game.agents}


class AloneTeam(MarketTeam):
    """The rows of a game in which one agent learns."""

    def __init__(self, view: MultiAgentVecEnv[Engine], agent: str, repeated: bool) -> None:
        super().__init__(view)  # type: ignore[arg-type]
        self.agents, self.repeated = (agent,), repeated
        self._word = neutral(view.engine.game.actions(agent), self.rows)

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of the agent."""
        self._word = action

    def step(self) -> TeamStep:
        """Play the bar with what the others say."""
        game = self.view.engine.game
        for name, word in words_alone(game, self.agents[0], self._word, self.repeated).items():
            self.view.say(name, word)
        return super().step()


class AloneEnvironment:
    """What is trained on: rows of the game of `mode` in which only `agent` acts."""

    def __init__(self, mode: str, agent: str, **options: Any) -> None:
        self.mode, self.agent = TrainingMode(mode), agent
        self.made = ENVIRONMENTS[self.mode](**options)
        self.metadata = {"name": f"{mode}-alone-{agent}"}

    def batch(self, rows: int, rng: np.random.Generator) -> AloneTeam:
        """Return N rows of it."""
        return AloneTeam(self.made.batch(rows, rng), self.agent, self.mode in VOTING)


def alone_environment(mode: str, agent: str, **options: Any) -> AloneEnvironment:
    """Return the environment; `options` are those of the whole team's."""
    return AloneEnvironment(mode, agent, **options)
