"""The teams of document 5 as PettingZoo's users expect them: `team_v1.env("tactical")`, `team_v1.parallel_env(...)`.

v1: first version.
"""

from mtquant.envs.games.team import env, parallel_env

__all__ = ["env", "parallel_env"]
