"""The tactical game as PettingZoo's users expect it: `tactical_v1.env()`, `tactical_v1.parallel_env()`.

v1: first version.
"""

from mtquant.envs.games.tactical import TacticalMarketEnv, env, parallel_env

__all__ = ["env", "parallel_env", "raw_env"]

raw_env = TacticalMarketEnv
