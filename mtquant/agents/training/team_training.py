"""The loop of multi-agent training: play, learn, record; continues exactly from its last checkpoint."""

import math
from pathlib import Path
from typing import Any

import torch

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.critic_bundle import critic_of
from mtquant.agents.learning.mappo import MAPPOLearner
from mtquant.agents.learning.state import Parts, seed_everything
from mtquant.agents.learning.team_play import Played
from mtquant.agents.training.curriculum_learning import AdvancedCurriculumLearning
from mtquant.agents.training.divergence import divergence_named
from mtquant.agents.training.model_checkpointing import ModelCheckpointingSystem
from mtquant.agents.training.team_rollouts import Rollouts, groups_in, make_team
from mtquant.agents.training.team_validation import BestModel
from mtquant.config.marl import TrainingConfig
from mtquant.envs.scenario import REAL_TASK, Scenario
from mtquant.errors import TrainingError, UsageError
from mtquant.store.units import UnitHandle
from mtquant.types import Array

BEST = "best"
"""Folder below a unit's outputs that holds the best model by validation; the final one lies beside it."""


class TeamTraining:
    """One training inside a unit; `rollouts` plays the rows.

    No random generator outlives a rollout: what is drawn while playing and while learning is decided by the seed, the
    rollout's number and the shard's, so that a checkpoint holds networks, optimisers, rows and counters only.
    """

    def __init__(self, config: TrainingConfig, unit: UnitHandle, rollouts: Rollouts) -> None:
        self.config, self.unit, self.rollouts = config, unit, rollouts
        self.checkpointing = ModelCheckpointingSystem(unit)
        seed_everything(unit.streams.integer("mappo", "learner"))
        self.team = make_team(config, 1, unit.streams.rng("mappo", "shape"))
        self.learners = {group.name: MAPPOLearner(group, self.team, config) for group in groups_in(config, self.team)}
        self.team.close()
        self.index, self.episodes = 0, 0
        self.best = self.last = math.nan
        self.agent_rewards = dict.fromkeys(self.team.agents, math.nan)
        self.best_model = BestModel(config, unit.streams)
        self.curriculum: AdvancedCurriculumLearning | None = None
        if config.curriculum is not None:
            self._require_scenarios()
            # progress is counted in thousandths, because a training may be measured in episodes or in steps
            self.curriculum = AdvancedCurriculumLearning(
                config.curriculum, 1000, rng=unit.streams.rng("mappo", "curriculum")
            )

    @property
    def per_rollout(self) -> int:
        """Steps of one rollout, over all rows."""
        return self.config.n_envs * self.config.n_steps

    @property
    def progress(self) -> float:
        """Share of the training that is done, from 0 to 1."""
        if self.config.total_steps is not None:
            return min(1.0, self.index * self.per_rollout / self.config.total_steps)
        return min(1.0, self.episodes / self.config.num_episodes)

    def run(self) -> dict[str, Any]:
        """Train to the end, write a bundle per agent to the unit's outputs and return what came out."""
        self._resume()
        while self.progress < 1.0:
            with divergence_named("learning_rate"):
                metrics = self._iterate()
            self._require_finite()
            self.checkpointing.boundary(
                self.index * self.per_rollout, metrics, self._capture, last=self.progress >= 1.0
            )
        self._save()
        if self.curriculum is not None:
            self.curriculum.write_log(self.unit.outputs)
        return {
            "best_reward": self.best,
            "final_reward": self.last,
            "agent_rewards": dict(self.agent_rewards),
            "episodes": self.episodes,
            "steps": self.index * self.per_rollout,
            "validation": self.best_model.told(),
            "agents": list(self.team.agents),
        }

    def _iterate(self) -> dict[str, float]:
        scenarios = self._scenarios()
        policies = {name: learner.policy for name, learner in self.learners.items()}
        played = self.rollouts.play(self.index, policies, scenarios)
        before, remaining = self.progress, 1.0 - self.progress
        torch.manual_seed(self.unit.streams.integer("mappo", "update", self.index))
        metrics = self._count(played)
        for name, learner in self.learners.items():
            found = learner.learn(played.samples[name], remaining)
            head = "" if len(self.learners) == 1 else f"{name}/"
            metrics |= {f"{head}{key}": value for key, value in found.items()}
        self.index += 1
        if self.best_model.due(before, self.progress):
            metrics["validation_reward"] = self.best_model.measure(self.index * self.per_rollout, self.learners)
        if self.curriculum is not None:
            metrics |= self.curriculum.update_curriculum({"step": round(1000 * self.progress)})
        return metrics

    def _count(self, played: Played) -> dict[str, float]:
        """Return what the episodes that ended brought, and remember it."""
        if not len(played.returns):
            return {}
        self.episodes += len(played.returns)
        self.last = float(played.returns.sum(axis=1).mean())
        self.best = self.last if math.isnan(self.best) else max(self.best, self.last)
        means = played.returns.mean(axis=0)
        self.agent_rewards = {agent: float(mean) for agent, mean in zip(self.team.agents, means, strict=True)}
        rewards = {f"{agent}/reward": mean for agent, mean in self.agent_rewards.items()}
        return {"reward": self.last, "episode_length": float(played.lengths.mean())} | rewards

    def _scenarios(self) -> list[Scenario]:
        """Return the scenario of every row's next episode."""
        if self.curriculum is None:
            return [REAL_TASK] * self.config.n_envs
        level = self.curriculum.get_difficulty_level(self.curriculum.step)
        return [self.curriculum.generate_scenario(level) for _ in range(self.config.n_envs)]

    def _require_scenarios(self) -> None:
        if not self.team.has_scenarios:
            raise UsageError(
                "This environment has no scenarios, so there is nothing a curriculum could make easier; "
                "leave `curriculum` out, or train on an environment of mtquant."
            )

    def _require_finite(self) -> None:
        for name, learner in self.learners.items():
            if not all(bool(torch.isfinite(p).all()) for p in learner.actor_parameters):
                raise TrainingError(
                    f"Training diverged: a weight of `{name}` is not finite after rollout {self.index}. "
                    "Lower `learning_rate`; the last checkpoint is kept."
                )

    def _capture(self) -> Parts:
        """Return the complete state between two rollouts."""
        arrays, rows = self.rollouts.state_dict()
        values: dict[str, Any] = {
            "rows": rows,
            "counters": {
                "index": self.index,
                "episodes": self.episodes,
                "best": self.best,
                "last": self.last,
                "agent_rewards": dict(self.agent_rewards),
            },
            "curriculum": self.curriculum.state_dict() if self.curriculum else {},
        }
        best, values["validation"] = self.best_model.state_dict()
        arrays |= best
        for learner in self.learners.values():
            more, numbers = learner.state_dict()
            arrays |= more
            values |= numbers
        return arrays, values

    def _resume(self) -> None:
        """Restore the newest checkpoint, if there is one."""
        found = self.checkpointing.load_checkpoint()
        if found is None:
            return
        arrays, values = found[1].arrays, found[1].values
        counters = values["counters"]
        self.index, self.episodes = counters["index"], counters["episodes"]
        self.best, self.last, self.agent_rewards = counters["best"], counters["last"], counters["agent_rewards"]
        self.best_model.load_state_dict(arrays, values["validation"])
        if self.curriculum is not None:
            self.curriculum.load_state_dict(values["curriculum"])
        for learner in self.learners.values():
            learner.load_state_dict(arrays, values)
        if self.progress < 1.0:
            self.rollouts.load_state_dict(arrays, values["rows"])

    def _save(self) -> None:
        """Write the final model, and the best one where validation chose it; nothing is learned after this."""
        self._write(self.unit.outputs, self.index * self.per_rollout)
        if self.best_model.found:
            for learner in self.learners.values():
                learner.load_networks(self.best_model.arrays)
            self._write(self.unit.outputs / BEST, self.best_model.step)

    def _write(self, folder: Path, steps: int) -> None:
        for learner in self.learners.values():
            learner.policy.set_training_mode(False)
            for agent, identity in zip(learner.group.agents, learner.group.identity, strict=True):
                bundle_of(learner, self.team, agent, identity, steps).save(folder / agent)
                critic_of(learner, self.team, agent, identity).save(folder / agent)


def bundle_of(learner: MAPPOLearner, team: Any, agent: str, identity: Array, steps: int) -> PolicyBundle:
    """Return what deploys of one agent: it sees the environment's observation and nothing else."""
    return PolicyBundle(
        agent,
        team.layout(agent),
        team.actions(agent),
        (),
        learner.config.actor_hidden,
        (),
        team.normaliser(agent).clip,
        learner.policy,
        False,
        {"algorithm": learner.config.algorithm, "timesteps": steps, "group": list(learner.group.agents)},
        tuple(float(number) for number in identity),
    )
