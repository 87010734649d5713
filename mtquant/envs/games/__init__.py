"""The registry of games."""

from mtquant.envs.games.joint import JointGame
from mtquant.envs.games.portfolio import PortfolioGame
from mtquant.envs.games.single_agent import SingleAgentGame
from mtquant.envs.games.specialist import SpecialistGame

GAMES = {"specialist": SpecialistGame, "joint": JointGame, "portfolio": PortfolioGame, "single": SingleAgentGame}
