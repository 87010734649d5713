"""The risk game as PettingZoo's users expect it: `risk_v1.env()`, `risk_v1.parallel_env()`.

v1: first version.
"""

from mtquant.envs.games.risk import RiskManagementEnv, env, parallel_env

__all__ = ["env", "parallel_env", "raw_env"]

raw_env = RiskManagementEnv
