"""Episodes of a trained team without exploration."""

from collections.abc import Mapping
from typing import NamedTuple

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


class Seen(NamedTuple):
    """What an agent and its critic saw when the agent was asked to act."""

    observation: Array
    """[n, d]"""
    state: Array
    """[n, s]"""


def observations_of(env: TeamEnv, acts: Mapping[str, ActFn], wanted: int) -> dict[str, Seen]:
    """Return what each agent and a critic saw in its first `wanted` turns, from the beginning of episodes on."""
    env.reset()
    found: dict[str, list[Seen]] = {agent: [] for agent in env.agents}
    while min(sum(len(seen.observation) for seen in turns) for turns in found.values()) < wanted:
        for agent in env.agents:
            seen, active = env.observe(agent), env.active(agent)
            found[agent].append(Seen(seen[active], env.state()[active]))
            env.say(agent, acts[agent](seen))
        outcome = env.step()
        env.restart(outcome.done)
    return {
        agent: Seen(*(np.concatenate(arrays)[:wanted] for arrays in zip(*turns, strict=True)))
        for agent, turns in found.items()
    }
