"""The execution game as PettingZoo's users expect it: `execution_v1.env()`, `execution_v1.parallel_env()`.

v1: first version.
"""

from mtquant.envs.games.order_engine import ExecutionEnv, env, parallel_env

__all__ = ["env", "parallel_env", "raw_env"]

raw_env = ExecutionEnv
