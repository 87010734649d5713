"""The registry of games over bars."""

from mtquant.envs.games.joint import JointGame
from mtquant.envs.games.portfolio import PortfolioGame
from mtquant.envs.games.risk import RiskGame
from mtquant.envs.games.single_agent import SingleAgentGame
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.games.strategic import StrategicGame
from mtquant.envs.games.tactical import TacticalGame
from mtquant.envs.games.team import TeamGame

GAMES = {
    "specialist": SpecialistGame,
    "joint": JointGame,
    "portfolio": PortfolioGame,
    "single": SingleAgentGame,
    "strategic": StrategicGame,
    "tactical": TacticalGame,
    "risk": RiskGame,
    "team": TeamGame,
}
