"""`TradingEnvironment`: both teams of document 5 from their packages, asked what they would do on the newest bar."""

from pathlib import Path
from typing import get_args

import numpy as np

from mtquant.config.games import read_games
from mtquant.envs.games.team import Team, TeamGame
from mtquant.envs.ground import Bars, ground_of
from mtquant.errors import StoreError, UsageError
from mtquant.package.deploy_model import DeployedTeam


class TradingEnvironment:
    """The tactical and the strategic team side by side, each on bars of its own length.

    It decides and trades nothing: observations are those that the teams were trained on, made from the bars that are
    given and the exposure that is held.
    """

    def __init__(self) -> None:
        self.teams: dict[Team, DeployedTeam] = {}
        """What was loaded."""

    def load_tactical_agents(self, folder: Path | str) -> None:
        """Load the package of a tactical team. Raises `StoreError` where it is damaged, `UsageError` for another's."""
        self._load("tactical", Path(folder))

    def load_strategic_agents(self, folder: Path | str) -> None:
        """Load the package of a strategic team, as `load_tactical_agents` does."""
        self._load("strategic", Path(folder))

    def get_tactical_actions(self, market_data_5min: Bars, exposure: float = 0.0) -> dict[str, str]:
        """Return each agent's choice at the close of the last bar, by name, having heard nobody.

        `market_data_5min`: a CSV file of one instrument, or anything that an environment takes as `bars`; enough of
        them for the slowest column. `exposure`: what is held now, in units of risk. Raises `UsageError` before
        `load_tactical_agents`, and what reading bars raises.
        """
        return self._actions("tactical", market_data_5min, exposure)

    def get_strategic_actions(self, market_data_30min: Bars, exposure: float = 0.0) -> dict[str, str]:
        """Return each agent's choice, as `get_tactical_actions` does."""
        return self._actions("strategic", market_data_30min, exposure)

    def _load(self, team: Team, folder: Path) -> None:
        try:
            loaded = DeployedTeam(folder)
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"The package in `{folder}` cannot be used: {error}. Export the team again.") from error
        mode = loaded.config["mode"]
        if mode != f"{team}-team":
            raise UsageError(f"`{folder}` has a team of the mode `{mode}`; a package of `{team}-team` is needed here.")
        self.teams[team] = loaded

    def _actions(self, team: Team, bars: Bars, exposure: float) -> dict[str, str]:
        loaded = self.teams.get(team)
        if loaded is None:
            raise UsageError(f"No {team} agents are loaded: call `load_{team}_agents` first.")
        seen = last_observation(team, loaded, bars, exposure)
        return {agent: str(loaded.named(agent, loaded.act(agent, seen[agent])[0])) for agent in loaded.agents}


def last_observation(team: Team, loaded: DeployedTeam, bars: Bars, exposure: float) -> dict[str, np.ndarray]:
    """Return `[1, d]` what each agent sees at the close of the last bar while `exposure` is held."""
    assert team in get_args(Team)
    settings = getattr(read_games(loaded.config["environment"]), team)
    game = TeamGame(ground_of(bars, settings, settings.episode_length), settings, team, settings.episode_length)
    last = np.array([len(game.dataset.market.time) - 1])
    nothing, held = np.zeros(1, dtype=np.int64), np.array([exposure])
    return {
        agent: game.window.seen(last, nothing, game.columns[agent], nothing, held).reshape(1, -1)
        for agent in loaded.agents
    }
