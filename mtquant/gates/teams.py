"""The multi-agent gate: MAPPO on cooperative navigation, between random play and a heuristic that solves it."""

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.pettingzoo_mappo_trainer import PettingZooMAPPOTrainer
from mtquant.agents.training.standing import complete
from mtquant.agents.training.team_identity import team_unit
from mtquant.config.marl import TrainingConfig
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.team import play_team
from mtquant.gates.simple_spread import COUNT, STEPS, SimpleSpread
from mtquant.store.digests import digest_json
from mtquant.store.units import Unit
from mtquant.types import ActFn, Array

RANDOM, REFERENCE = -78.8, -22.1
"""Sum of the agents' rewards in an episode: uniform random moves, and `assigned`; standard errors below 0.5."""
EPISODES = 2000
EVALUATION_SEED = 20_170_607


class _Spread:
    batch = SimpleSpread


@dataclass(frozen=True)
class TeamTraining:
    """Settings of one training; gates with equal ones share it."""

    total_steps: int
    algorithm: Literal["mappo", "ippo"] = "mappo"

    def config(self, seed: int) -> TrainingConfig:
        """Return the settings, which were found on seeds that no gate uses."""
        return TrainingConfig(
            env_factory=spread, total_steps=self.total_steps, algorithm=self.algorithm, seed=seed, **SETTINGS
        )


SETTINGS: dict[str, Any] = {
    "n_envs": 32,
    "n_steps": STEPS,
    # Undivided rollouts, as the paper has them, scored 0.50 instead of 0.58 after 600,000 steps.
    "batch_size": 600,
    "gamma": 0.95,
    "max_grad_norm": 0.5,
}


def spread() -> type[_Spread]:
    """Return the environment: rows that are stepped together."""
    return _Spread


@dataclass(frozen=True)
class FinishedTeam:
    """A complete training of a team."""

    unit: Unit

    @property
    def keys(self) -> tuple[str, ...]:
        """Key of the unit."""
        return (self.unit.spec.key,)

    @property
    def config_digest(self) -> str:
        """Digest of the settings without the seed."""
        return digest_json(self.unit.spec.inputs["config"])

    def acts(self) -> dict[str, ActFn]:
        """Return the trained agents."""
        return {agent: PolicyBundle.load(self.unit.outputs / agent).actor.act for agent in SimpleSpread.agents}


def finish_team(root: Path, training: TeamTraining, seed: int) -> FinishedTeam:
    """Train with `seed` in this process, from the newest checkpoint; what is complete in the store is reused."""
    return FinishedTeam(trained_unit(root, training.config(seed)))


def trained_unit(root: Path, config: TrainingConfig) -> Unit:
    """Return the complete unit of a training in the store `root`."""
    unit = team_unit(config, root)
    complete(unit, config.seed, config.checkpoint_seconds, PettingZooMAPPOTrainer(config).work)
    return unit


@dataclass(frozen=True)
class NormalisedScore:
    """(R - R_random) / (R_reference - R_random) of the team without exploration, with two standard errors."""

    def __call__(self, run: FinishedTeam) -> Interval:
        return score_of(run.acts())


def score_of(acts: dict[str, ActFn]) -> Interval:
    """Return the normalised score of a team on `EPISODES` episodes that are the same for every team."""
    env = SimpleSpread(250, np.random.Generator(np.random.PCG64(EVALUATION_SEED)))
    total = play_team(env, acts, EPISODES)[0].sum(axis=1)
    scale = REFERENCE - RANDOM
    value, error = float(total.mean() - RANDOM) / scale, float(total.std(ddof=1) / np.sqrt(len(total))) / scale
    return Interval(value, value - 2.0 * error, value + 2.0 * error)


def assigned() -> dict[str, ActFn]:
    """Return the heuristic: landmarks are shared out so that squared ways are shortest, and everybody brakes in time.

    Every agent finds the same assignment by itself, because it sees everybody. It is near the optimum, and not proven
    to be one.
    """
    return {agent: _Assigned(index) for index, agent in enumerate(SimpleSpread.agents)}


@dataclass(frozen=True)
class _Assigned:
    index: int

    def __call__(self, observation: Array, /) -> Array:
        """Return the moves `[N, 1]` for observations `[N, 18]`."""
        seen = observation.astype(np.float64)
        velocity, landmarks = seen[:, :2], seen[:, 4:10].reshape(-1, COUNT, 2)
        team = np.insert(seen[:, 10:14].reshape(-1, COUNT - 1, 2), self.index, 0.0, axis=1)
        ways = np.square(team[:, :, None] - landmarks[:, None]).sum(axis=3)
        costs = sum(ways[:, agent, PLANS[:, agent]] for agent in range(COUNT))
        mine = PLANS[np.asarray(costs).argmin(axis=1), self.index]
        left = landmarks[np.arange(len(mine)), mine] - LOOKAHEAD * velocity
        axis = np.abs(left).argmax(axis=1)
        far = np.take_along_axis(left, axis[:, None], axis=1)[:, 0]
        move: Array = np.where(np.abs(far) < REACH, 0, 1 + 2 * axis + (far > 0))
        return move[:, None]


PLANS = np.array(list(permutations(range(COUNT))))
"""[6, 3] the landmark of each agent."""
LOOKAHEAD, REACH = 0.25, 0.05
"""Found by trial: times of velocity after which thrust turns, and the distance at which an agent lets go."""
