"""From what a person's `env_factory` returns to rows that the multi-agent trainer plays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from pettingzoo import AECEnv, ParallelEnv

from mtquant.envs.foreign import ForeignTeam
from mtquant.envs.market_team import MarketTeam
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.team import TeamEnv
from mtquant.errors import UsageError


def team_of(
    make: Callable[[], Any],
    rows: int,
    rng: np.random.Generator,
    *,
    limit: int | None = None,
    whole_state: bool = False,
    compare: bool = True,
) -> TeamEnv:
    """Return `rows` rows of the environment that `make` returns.

    One that has `batch(rows, rng)` brings its own rows, stepped together; of other PettingZoo environments there is a
    copy per row, to which the options apply (`ForeignTeam`). Raises `UsageError` for anything else.
    """
    env = make()
    batch = getattr(env, "batch", None)
    if batch is not None:
        rows_together = batch(rows, rng)
        if isinstance(rows_together, MultiAgentVecEnv):
            return MarketTeam(rows_together)
        if isinstance(rows_together, TeamEnv):
            rows_together.reset()
            return rows_together
    elif isinstance(env, AECEnv | ParallelEnv):
        copies = [env, *(make() for _ in range(rows - 1))]
        return ForeignTeam(copies, rng, limit=limit, whole_state=whole_state, compare=compare)
    raise UsageError(
        f"`env_factory` returned {type(env).__name__}, on which nothing can be trained: a PettingZoo AECEnv or "
        "ParallelEnv is needed, or an object whose `batch(rows, rng)` returns a MultiAgentVecEnv or a TeamEnv."
    )
