"""Phase 3: meta-controller and specialists are trained together on the whole portfolio."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.aggregators import build_aggregator
from mtquant.agents.learning.algorithms import persistence_of
from mtquant.agents.learning.counterfactual import CounterfactualCredit
from mtquant.agents.learning.critic import CentralCritic
from mtquant.agents.learning.gradient_coordination import GradientCoordinationSystem
from mtquant.agents.learning.joint import JointLearner
from mtquant.agents.learning.samples import Discounting, Rollout, UpdateSettings
from mtquant.agents.learning.state import Parts, capture_rng, restore_rng, seed_everything
from mtquant.agents.training.curriculum_learning import AdvancedCurriculumLearning, yardstick_of
from mtquant.agents.training.divergence import divergence_named
from mtquant.agents.training.joint_rollouts import JointRollouts
from mtquant.agents.training.model_checkpointing import ModelCheckpointingSystem
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.games.joint import META, JointGame, JointTrainingEnv
from mtquant.errors import TrainingError
from mtquant.metrics import sharpe
from mtquant.store.journal import HEADLINES
from mtquant.store.units import UnitHandle


class Phase3JointTrainer:
    """Trains all agents jointly from the bundles of phases 1 and 2 (`folders` by agent)."""

    def __init__(self, spec: PipelineSpec, dataset: Dataset, unit: UnitHandle, folders: dict[str, Path]) -> None:
        self.spec, self.dataset, self.unit, self.folders = spec, dataset, unit, folders
        self.checkpointing = ModelCheckpointingSystem(unit)
        self._headline: dict[str, float] = {}
        self.phase = spec.phase3
        self.bundles: dict[str, PolicyBundle] = {}
        per_rollout = self.phase.n_envs * self.phase.n_steps
        self.rollouts = -(-self.phase.timesteps // per_rollout)
        self.total_steps = self.rollouts * per_rollout
        self.curriculum = AdvancedCurriculumLearning(
            self.phase.curriculum,
            self.total_steps,
            rows=self.phase.n_envs,
            rng=unit.streams.rng("phase3", "curriculum"),
            real=yardstick_of(dataset, spec.environment.episode_length),
        )

    def load_pretrained_models(self) -> None:
        """Load the bundles and prepare them for joint training.

        The first layer's columns of everything a specialist has not seen before (goal, phase flag, peers,
        macro) are set to zero, so that at the first step each acts exactly as in phase 2; exploration is
        raised again.
        """
        self.bundles = {agent: PolicyBundle.load(folder) for agent, folder in self.folders.items()}
        with torch.no_grad():
            for agent, bundle in self.bundles.items():
                bundle.policy.set_training_mode(True)
                if agent == META:
                    bundle.policy.log_std.fill_(self.phase.meta_log_std)
                    continue
                first = next(m for m in bundle.actor.modules() if isinstance(m, nn.Linear))
                first.weight[:, bundle.layout.slice("goal").start :] = 0.0
                bundle.policy.log_std.fill_(self.phase.specialist_log_std)

    def create_joint_training_env(self) -> JointTrainingEnv:
        """Return the game of phase 3 as a PettingZoo environment; `.batch` gives the rows trained on."""
        return JointTrainingEnv(self.dataset, self.spec, self.dataset.splits.train, context=self.phase.peers)

    def train(self) -> dict[str, Any]:
        """Train jointly, write all bundles to `outputs/<agent>` and return the last metrics."""
        self.load_pretrained_models()
        seed_everything(self.unit.streams.integer("phase3", "learner"))
        joint = self.create_joint_training_env()
        env = joint.batch(self.phase.n_envs, self.unit.streams.rng("phase3", "episodes"))
        learners = self._learners(joint.joint_game)
        credit = None
        if self.phase.credit == "counterfactual":
            credit = CounterfactualCredit(joint.joint_game, self.dataset, self.spec, env.rows)
        rollouts = JointRollouts(self.phase, joint.joint_game, env, learners, self.curriculum, credit)
        if self.phase.curriculum.enabled:
            env.engine.curriculum = self.curriculum
        env.reset()
        done = self._resume(rollouts)
        pending: dict[str, list[Rollout]] = {agent: [] for agent in learners}
        for index in range(done, self.rollouts):
            with divergence_named("phase3.specialist_learning_rate"):
                found, metrics = rollouts.collect()
                for agent, samples in found.items():
                    pending[agent].append(samples)
                metrics |= self._update(index, learners, pending)
            step = (index + 1) * self.phase.n_envs * self.phase.n_steps
            self._headline = {name: metrics[name] for name in HEADLINES if name in metrics}
            metrics |= self.curriculum.update_curriculum({"step": step} | self._headline)
            self.checkpointing.boundary(
                step,
                metrics,
                partial(self._capture, step, rollouts),
                complete=not any(pending.values()),
                last=index + 1 == self.rollouts,
            )
        self._save(learners)
        if self.phase.curriculum.enabled:
            self.curriculum.write_log(self.unit.outputs)
        return self._headline

    def evaluate(self, n_episodes: int = 100) -> dict[str, float]:
        """Run the trained hierarchy on `n_episodes` validation episodes with deterministic actions.

        Returns the portfolio's utility per bar in u0 and its annual Sharpe ratio after costs.
        """
        bundles = {agent: PolicyBundle.load(self.unit.outputs / agent) for agent in self.folders}
        acts = {agent: bundle.act_fn() for agent, bundle in bundles.items()}
        env = JointTrainingEnv(self.dataset, self.spec, self.dataset.splits.validation, context=self.phase.peers)
        engine = env.batch(n_episodes, self.unit.streams.rng("phase3", "evaluation")).engine
        paid, returns = engine.play_episodes(acts, META)
        return {
            "validation_utility_per_bar": float(paid.mean()),
            "validation_sharpe": float(sharpe(returns, self.dataset.market.bars_per_year)),
        }

    def _learners(self, game: JointGame) -> dict[str, JointLearner]:
        phase = self.phase
        aggregator = build_aggregator(phase.aggregator if phase.gradient_coordination else {"name": "portfolio_only"})
        peers = build_aggregator(phase.peer_aggregator) if phase.peer_aggregator else None
        central = 2 * game.slots + len(game.members)
        learners = {}
        for agent, bundle in self.bundles.items():
            meta = agent == META
            # A derivative is of first order, to which the width of exploration does not matter.
            bundle.policy.log_std.requires_grad_(not phase.differentiates(meta=meta))
            normaliser = game.meta_view.normaliser() if meta else game.view.normaliser(self.dataset)
            alone = phase.aggregator["name"] == "portfolio_only" or not phase.gradient_coordination
            # The meta's second stream is the cost of large losses, a specialist's the reward of its own book.
            streams = 1 + (phase.tail.enabled if meta else not alone)
            critic = CentralCritic(
                bundle.layout.space(), normaliser, 0 if meta else central, bundle.critic_hidden, streams
            )
            learners[agent] = JointLearner(
                agent,
                bundle.policy,
                critic,
                GradientCoordinationSystem(aggregator, peers=peers),
                streams=streams,
                per_row=1 if meta else len(bundle.instruments),
                discounting=Discounting(
                    self.spec.phase2.ppo.gamma if meta else phase.gamma,
                    phase.gae_lambda,
                    persistence_of(self.spec.environment),
                ),
                weight_decay=0.0 if meta else phase.weight_decay,
            )
            if phase.kl_anchor > 0.0:
                learners[agent].anchor()
        return learners

    def _update(
        self, index: int, learners: dict[str, JointLearner], pending: dict[str, list[Rollout]]
    ) -> dict[str, float]:
        phase = self.phase
        remaining = 1.0 - index / self.rollouts
        metrics: dict[str, float] = {}
        correction: torch.Tensor | None = None
        for agent in self._order(learners):
            learner = learners[agent]
            every = phase.meta_update_freq if agent == META else phase.specialist_update_freq
            if (index + 1) % every and index + 1 < self.rollouts:
                continue
            base = phase.meta_learning_rate if agent == META else phase.specialist_learning_rate
            rate = base * remaining * learner.coordination.rates.get(agent, 1.0)
            critic_rate = phase.critic_learning_rate * (0.1 + 0.9 * remaining)
            settings = UpdateSettings(
                phase.n_epochs,
                phase.n_minibatches,
                phase.clip_range,
                phase.max_grad_norm,
                index < phase.critic_warmup_rollouts,
                phase.kl_anchor * remaining,
            )
            explained, removed = pending[agent][-1].explained_variance, pending[agent][-1].noise_removed
            corrected = phase.sequential and agent != META
            weights = correction.repeat_interleave(learner.per_row) if corrected and correction is not None else None
            found = learner.update(pending[agent], settings, (rate, critic_rate), weights)
            if corrected:
                changed = learner.ratio(pending[agent]).reshape(-1, learner.per_row).prod(dim=1)
                correction = changed if correction is None else correction * changed
            pending[agent] = []
            if phase.adaptive_learning_rates and "approx_kl" in found:
                learner.coordination.adaptive_learning_rates({agent: found["approx_kl"]})
            metrics |= {
                f"{agent}/{n}": v
                for n, v in (found | {"explained_variance": explained, "noise_removed": removed}).items()
            }
            _require_finite(learner, index)
        return metrics

    def _order(self, learners: dict[str, JointLearner]) -> list[str]:
        """Return the order of updates: random among the specialists where each corrects for those before it."""
        specialists = [agent for agent in learners if agent != META]
        if self.phase.sequential:
            specialists = [specialists[i] for i in torch.randperm(len(specialists)).tolist()]
        return [META, *specialists]

    def _capture(self, step: int, rollouts: JointRollouts) -> Parts:
        """Return the complete state between two rollouts."""
        arrays, values = rollouts.env.state_dict()
        arrays = {f"env.{n}": a for n, a in arrays.items()} | {"start": rollouts.start.copy()}
        values = {
            "env": values,
            "curriculum": self.curriculum.state_dict(),
            "step": step,
            # what `train` returns, where nothing is left to train
            "headline": dict(self._headline),
            "tail": rollouts.tail.state_dict(),
        }
        for learner in rollouts.learners.values():
            more, numbers = learner.state_dict()
            arrays |= more
            values |= numbers
        more, numbers = capture_rng()
        return arrays | more, values | numbers

    def _resume(self, rollouts: JointRollouts) -> int:
        """Restore the newest checkpoint; return the number of rollouts done."""
        found = self.checkpointing.load_checkpoint()
        if found is None:
            return 0
        step, snapshot = found
        arrays, values = snapshot.arrays, snapshot.values
        rollouts.env.load_state_dict(
            {n.removeprefix("env."): a for n, a in arrays.items() if n.startswith("env.")}, values["env"]
        )
        rollouts.start = np.array(arrays["start"])
        self.curriculum.load_state_dict(values["curriculum"])
        self._headline = values["headline"]
        rollouts.tail.load_state_dict(values["tail"])
        for learner in rollouts.learners.values():
            learner.load_state_dict(arrays, values)
        restore_rng(arrays, values)
        return step // (self.phase.n_envs * self.phase.n_steps)

    def _save(self, learners: dict[str, JointLearner]) -> None:
        for agent, bundle in self.bundles.items():
            learners[agent].policy.set_training_mode(False)
            origin = {"phase": 3, "timesteps": self.total_steps, "peers": self.phase.peers}
            PolicyBundle(
                agent,
                bundle.layout,
                bundle.actions,
                bundle.instruments,
                bundle.actor_hidden,
                bundle.critic_hidden,
                bundle.clip,
                learners[agent].policy,
                bundle.per_instrument,
                origin,
            ).save(self.unit.outputs / agent)


def _require_finite(learner: JointLearner, index: int) -> None:
    if not all(bool(torch.isfinite(p).all()) for p in learner.actor_parameters):
        raise TrainingError(
            f"Joint training diverged: a weight of `{learner.name}` is not finite after rollout {index + 1}. "
            "Lower `phase3.specialist_learning_rate` or `phase3.meta_learning_rate`."
        )
