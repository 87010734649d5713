"""The strategic game as PettingZoo's users expect it: `strategic_v1.env()`, `strategic_v1.parallel_env()`.

v1: first version.
"""

from mtquant.envs.games.strategic import StrategicMarketEnv, env, parallel_env

__all__ = ["env", "parallel_env", "raw_env"]

raw_env = StrategicMarketEnv
