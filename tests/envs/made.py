"""Every game of the registry over the tiny market, random joint actions, and policies that follow a script."""

from collections.abc import Callable

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.envs.games.joint import JointGame
from mtquant.envs.games.portfolio import PortfolioGame
from mtquant.envs.games.risk import RiskGame
from mtquant.envs.games.single_agent import SingleAgentGame
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.games.strategic import StrategicGame
from mtquant.envs.games.tactical import TacticalGame
from mtquant.envs.games.team import TeamGame
from mtquant.envs.ground import Ground
from mtquant.envs.spaces import Choice
from mtquant.types import ActFn, Array

SMALL = read_games(
    {
        "strategic_marl": {"environment": {"matrix_shape": [8, 13], "observation_noise": 0.0}},
        "tactical_marl": {"environment": {"matrix_shape": [8, 7]}},
    }
)
"""Windows that fit into the tiny market's warm-up of 10 bars."""
PROBABLE = read_games(
    {
        "strategic_marl": {
            "environment": {"matrix_shape": [8, 13], "observation_noise": 0.0, "actions": "probabilities"},
            "rewards": {"synergy": "flat"},
        }
    }
)
Make = Callable[[Dataset, PipelineSpec], MarketGame]

MADE: dict[str, Make] = {
    "specialist": lambda dataset, spec: SpecialistGame(dataset, spec, "forex"),
    "joint": lambda dataset, spec: JointGame(dataset, spec, context=True, joint=True),
    "joint-phase2": lambda dataset, spec: JointGame(dataset, spec, context=False, joint=False),
    "portfolio": PortfolioGame,
    "single": SingleAgentGame,
    "strategic": lambda dataset, spec: StrategicGame(Ground(dataset, spec), SMALL.strategic_marl, 60),
    "strategic-probabilities": lambda dataset, spec: StrategicGame(Ground(dataset, spec), PROBABLE.strategic_marl, 60),
    "tactical": lambda dataset, spec: TacticalGame(Ground(dataset, spec), SMALL.tactical_marl, 60),
    "risk": lambda dataset, spec: RiskGame(Ground(dataset, spec), SMALL.risk_management, 60),
    "tactical-team": lambda dataset, spec: TeamGame(Ground(dataset, spec), SMALL.tactical, "tactical", 60),
    "strategic-team": lambda dataset, spec: TeamGame(Ground(dataset, spec), SMALL.strategic, "strategic", 60),
}
"""One constructor per way a game is played; `contracts/test_games.py` checks that no game is missing."""


def engine_of(game: MarketGame, rows: int, seed: int = 0, split: str = "train") -> GameEngine:
    """Return `rows` rows of `game`."""
    return GameEngine(game, game.dataset.splits[split], rows, Streams(seed).rng("episodes"))


def joint_actions(game: MarketGame, rng: np.random.Generator, rows: int) -> dict[str, Array]:
    """Return random actions of every agent, some of them beyond their bounds."""
    out = {}
    for agent in game.agents:
        bounds = game.actions(agent)
        if isinstance(bounds, Choice):
            out[agent] = bounds.sample(rng, rows).astype(np.float32)
            continue
        reach = min(bounds.high, 3.0)
        out[agent] = rng.uniform(-1.2 * reach, 1.2 * reach, (rows, bounds.size)).astype(np.float32)
    return out


def silent(size: int) -> ActFn:
    """Return a policy that says zero to everything."""
    return lambda seen, /: np.zeros((len(seen), size))


def squashed(size: int) -> ActFn:
    """Return a policy that repeats the first numbers it sees, squashed; of games with continuous actions."""
    return lambda seen, /: np.tanh(seen[:, :size])


class Script:
    """An `ActFn` that says what it was given, whatever it sees."""

    def __init__(self) -> None:
        self.line: Array = np.zeros((0, 0))

    def __call__(self, observation: Array, /) -> Array:
        """Return the line."""
        return self.line
