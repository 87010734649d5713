"""Episodes of a trained team without exploration."""

from collections.abc import Mapping

import numpy as np

from mtquant.envs.team import TeamEnv
from mtquant.types import ActFn, Array, Float


def play_team(env: TeamEnv, acts: Mapping[str, ActFn], episodes: int) -> tuple[Float, Array]:
    """Return the sums of rewards `[E, n]` and the steps `[E]` of whole episodes, E at least `episodes`.

    Every row plays equally many, so that short episodes are not counted more often.
    """
    env.reset()
    wanted = -(-episodes // env.rows)
    played = np.zeros(env.rows, dtype=np.int64)
    returns, lengths = np.zeros((env.rows, len(env.agents))), np.zeros(env.rows, dtype=np.int64)
    found: list[Float] = []
    steps: list[Array] = []
    while (played < wanted).any():
        for agent in env.agents:
            env.say(agent, acts[agent](env.observe(agent)))
        outcome = env.step()
        returns += outcome.rewards if outcome.early is None else outcome.rewards + outcome.early
        lengths += 1
        if outcome.done.any():
            counted = outcome.done & (played < wanted)
            found.append(returns[counted])
            steps.append(lengths[counted])
            played[outcome.done] += 1
            returns[outcome.done], lengths[outcome.done] = 0.0, 0
            env.restart(outcome.done)
    return np.concatenate(found), np.concatenate(steps)


def observations_of(env: TeamEnv, acts: Mapping[str, ActFn], wanted: int) -> dict[str, Array]:
    """Return `[wanted, d]` what each agent saw when it was asked to act, from the beginning of episodes on."""
    env.reset()
    found: dict[str, list[Array]] = {agent: [] for agent in env.agents}
    while min(sum(map(len, seen)) for seen in found.values()) < wanted:
        for agent in env.agents:
            seen, active = env.observe(agent), env.active(agent)
            found[agent].append(seen[active])
            env.say(agent, acts[agent](seen))
        outcome = env.step()
        env.restart(outcome.done)
    return {agent: np.concatenate(seen)[:wanted] for agent, seen in found.items()}
