"""Measuring a team without exploration, and keeping the model that did best while it was trained."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.mappo import MAPPOLearner
from mtquant.agents.learning.state import Parts
from mtquant.agents.policy import Actor
from mtquant.agents.training.team_rollouts import make_team
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams
from mtquant.envs.spaces import Choice
from mtquant.evaluation.team import Seen, play_team
from mtquant.evaluation.team_history import agreement
from mtquant.store.journal import from_json_number, to_json_number
from mtquant.types import ActFn, Array, Float

ROWS = 64
KEPT = "best."
"""Begins the names of the best model's arrays in a checkpoint."""


def evaluation_of(
    config: TrainingConfig,
    acts: Mapping[str, ActFn],
    n_episodes: int,
    rng: np.random.Generator,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    """Play at least `n_episodes` whole episodes; `changes` are keyword arguments of `env_factory` that differ.

    Returns `reward` (the sum of all agents' rewards in an episode, mean), `reward_error` (its standard error, NaN of
    one episode), `agent_rewards`, `episode_length` and `episodes`.
    """
    settings = config.model_copy(update={"env_settings": config.env_settings | dict(changes)})
    team = make_team(settings, min(ROWS, n_episodes), rng)
    returns, lengths = play_team(team, acts, n_episodes)
    team.close()
    total = returns.sum(axis=1)
    return {
        "reward": float(total.mean()),
        "reward_error": float(total.std(ddof=1) / np.sqrt(len(total))) if len(total) > 1 else float("nan"),
        "agent_rewards": dict(zip(team.agents, returns.mean(axis=0).tolist(), strict=True)),
        "episode_length": float(lengths.mean()),
        "episodes": len(total),
    }


def agreement_of(bundles: Mapping[str, PolicyBundle], seen: Mapping[str, Seen]) -> Float | None:
    """Return `[n, n]` how often two agents of a team choose the same; None where they have different choices."""
    spaces = {bundle.actions for bundle in bundles.values()}
    if len(spaces) > 1 or not isinstance(next(iter(spaces)), Choice):
        return None
    return agreement({agent: bundle.actor.act(seen[agent].observation) for agent, bundle in bundles.items()})


class BestModel:
    """The networks that earned most in the measurements of a training; the first of equal ones.

    Every measurement plays the same episodes, drawn from a stream of its own, so that it depends on the policies alone
    and changes nothing of the training.
    """

    def __init__(self, config: TrainingConfig, streams: Streams) -> None:
        self.config, self.streams = config, streams
        self.step, self.reward = 0, math.nan
        self.arrays: dict[str, Array] = {}
        self.history: list[tuple[int, float]] = []
        """Step and reward of every measurement."""

    @property
    def found(self) -> bool:
        """Whether anything was measured."""
        return bool(self.arrays)

    def due(self, before: float, after: float) -> bool:
        """Return whether a measurement falls between two shares of the training."""
        count = self.config.validations
        return math.floor(after * count) > math.floor(before * count)

    def measure(self, step: int, learners: Mapping[str, MAPPOLearner]) -> float:
        """Return the reward of the present policies after `step` steps, and keep the networks where it is the best."""
        acts = {
            agent: Actor(learner.policy, [float(number) for number in identity]).act
            for learner in learners.values()
            for agent, identity in zip(learner.group.agents, learner.group.identity, strict=True)
        }
        config = self.config
        rng = self.streams.rng("mappo", "validation")
        found = evaluation_of(config, acts, config.validation_episodes, rng, config.validation_settings)
        reward = float(found["reward"])
        self.history.append((step, reward))
        if not self.found or reward > self.reward:
            self.step, self.reward = step, reward
            self.arrays = {name: array for one in learners.values() for name, array in one.networks().items()}
        return reward

    def told(self) -> dict[str, Any]:
        """Return steps and rewards of all measurements and the step of the best, as JSON."""
        return {
            "best_step": self.step if self.found else None,
            "best_reward": to_json_number(self.reward),
            "episodes": self.config.validation_episodes,
            "history": [{"step": step, "reward": to_json_number(reward)} for step, reward in self.history],
        }

    def state_dict(self) -> Parts:
        """Return what a checkpoint holds of this."""
        return {f"{KEPT}{name}": array for name, array in self.arrays.items()}, self.told()

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.arrays = {name.removeprefix(KEPT): np.array(a) for name, a in arrays.items() if name.startswith(KEPT)}
        self.step, self.reward = values["best_step"] or 0, from_json_number(values["best_reward"])
        self.history = [(line["step"], from_json_number(line["reward"])) for line in values["history"]]
