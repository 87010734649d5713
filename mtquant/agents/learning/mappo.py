"""MAPPO (Yu et al., 2022): PPO whose critic sees the whole state, for one group of agents that share a policy.

What makes it work, by that paper: normalised returns, an agent's own view beside the state, few passes over undivided
rollouts, and masks for agents that are dead.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from mtquant.agents.learning.critic import CentralCritic
from mtquant.agents.learning.gpu import mixed_precision
from mtquant.agents.learning.ppo import (
    PolicyLoss,
    advantages_of_turns,
    noise_variates,
    normalise,
    ppo_losses,
    value_terms,
    without_noise,
)
from mtquant.agents.learning.state import Parts, capture_module, capture_optimizer, restore_module, restore_optimizer
from mtquant.agents.learning.team_play import Group, GroupSamples
from mtquant.agents.learning.value_norm import ValueNorm
from mtquant.agents.policy import build_policy, policy_arguments
from mtquant.config.marl import TrainingConfig
from mtquant.envs.spaces import Normaliser, ObservationLayout
from mtquant.envs.team import TeamEnv
from mtquant.types import Array, Float32

PERSISTENCE = (1.0, 0.5)
"""Shares of a position that last from step to step, with which price moves are summed."""


class Batch(NamedTuple):
    """Samples of one gradient step, B of them."""

    observation: Tensor
    """[B, d + i] with the agent's identity."""
    state: Tensor
    """[B, s]"""
    action: Tensor
    """[B, a]"""
    log_prob: Tensor
    """[B]"""
    advantage: Tensor
    """[B] normalised over the rollout."""
    target: Tensor
    """[B] normalised returns."""
    value: Tensor
    """[B] what the critic said before the update, in deviations of the returns."""
    active: Tensor
    """[B] whether the agent acted: only then does the policy learn from it."""

    def part(self, index: Tensor) -> "Batch":
        """Return some of the samples."""
        return Batch(*(tensor[index] for tensor in self))


def normaliser_of(group: Group, env: TeamEnv) -> Normaliser:
    """Return the environment's normaliser; what tells agents apart passes through it."""
    own, told = env.normaliser(group.agents[0]), group.identity.shape[1]
    mean, std = np.append(own.mean, np.zeros(told)), np.append(own.std, np.ones(told))
    return Normaliser(mean.astype(np.float32), std.astype(np.float32), own.clip)


def policy_of(group: Group, env: TeamEnv, config: TrainingConfig) -> ActorCriticPolicy:
    """Return a fresh policy of a group, over observation and identity `[d + i]`; its own critic is not used."""
    agent = group.agents[0]
    layout = ObservationLayout((*env.layout(agent).blocks, ("agent", group.identity.shape[1])))
    arguments = policy_arguments(
        normaliser_of(group, env),
        actor_hidden=config.actor_hidden,
        critic_hidden=(),
        log_std_init=config.log_std_init,
        weight_decay=0.0,
    )
    return build_policy(layout.space(), env.actions(agent).space(), 0.0, arguments)


class MAPPOLearner:
    """Policy, critic, running moments of returns and optimisers of one group."""

    def __init__(self, group: Group, env: TeamEnv, config: TrainingConfig) -> None:
        self.group, self.config = group, config
        self.policy = policy_of(group, env, config)
        normaliser = normaliser_of(group, env)
        self.state_width = env.state_width if config.algorithm == "mappo" else 0
        space = self.policy.observation_space
        assert isinstance(space, Box)
        self.critic = CentralCritic(space, normaliser, self.state_width, config.critic_hidden, 1)
        self.returns = ValueNorm(config.value_norm_decay)
        parameters = [*self.policy.mlp_extractor.policy_net.parameters(), *self.policy.action_net.parameters()]
        self.actor_parameters: list[nn.Parameter] = parameters + [
            p for name, p in self.policy.named_parameters() if name == "log_std"
        ]
        self.actor_optimizer = torch.optim.Adam(self.actor_parameters, eps=1e-5)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), eps=1e-5)

    def learn(self, samples: GroupSamples, remaining: float) -> dict[str, float]:
        """Update policy and critic from a rollout; `remaining` is the share of the training still to come."""
        batch, measured = self._prepared(samples)
        if not len(batch.target):
            return measured
        config = self.config
        scale = remaining if config.learning_rate_schedule == "linear" else 1.0
        for optimizer, rate in ((self.actor_optimizer, config.actor_rate), (self.critic_optimizer, config.critic_rate)):
            for entry in optimizer.param_groups:
                entry["lr"] = rate * scale
        count = len(batch.target)
        size = min(config.batch_size or count, count)
        steps: list[dict[str, float]] = []
        for _ in range(config.n_epochs):
            # undivided, the order of samples does not matter
            order = torch.randperm(count) if size < count else None
            parts = [batch] if order is None else [batch.part(index) for index in order.split(size)]
            steps += [self._step(part) for part in parts]
            if config.target_kl is not None and steps[-1].get("approx_kl", 0.0) > config.target_kl:
                break
        names = dict.fromkeys(name for step in steps for name in step)
        return measured | {name: float(np.mean([step[name] for step in steps if name in step])) for name in names}

    def _step(self, batch: Batch) -> dict[str, float]:
        config = self.config
        with mixed_precision(self.policy.device, wanted=config.mixed_precision):
            value = self.critic(batch.observation, batch.state)[:, 0]
        value = value.float()
        clip = config.value_clip_range
        value_loss = value_terms(value, batch.value, batch.target, clip, config.huber_delta).mean()
        _descend(self.critic_optimizer, value_loss, self.critic.parameters(), config.max_grad_norm)
        found = {"value_loss": float(value_loss.detach())}
        acted = batch if bool(batch.active.all()) else batch.part(batch.active)
        if not len(acted.target):
            return found
        losses = self.policy_loss(acted)
        norm = _descend(
            self.actor_optimizer,
            losses.surrogate + config.ent_coef * losses.entropy,
            self.actor_parameters,
            config.max_grad_norm,
        )
        return found | {
            "policy_loss": float(losses.surrogate.detach()),
            "entropy_loss": float(losses.entropy.detach()),
            "approx_kl": losses.approx_kl,
            "clip_fraction": losses.clip_fraction,
            "gradient_norm": norm,
        }

    def policy_loss(self, batch: Batch) -> PolicyLoss:
        """Return the terms of PPO for samples in which the agent acted."""
        policy = self.policy
        with mixed_precision(policy.device, wanted=self.config.mixed_precision):
            latent = policy.mlp_extractor.forward_actor(policy.pi_features_extractor(batch.observation))
        # probabilities in full precision: their ratios decide what is clipped
        distribution = policy._get_action_dist_from_latent(latent.float())
        space = self.policy.action_space
        action = batch.action if isinstance(space, Box) else batch.action.long()
        log_prob = distribution.log_prob(action[:, 0] if isinstance(space, Discrete) else action)
        entropy = distribution.entropy()
        assert entropy is not None
        return ppo_losses(log_prob, entropy, batch.log_prob, batch.advantage, self.config.clip_range)

    def values(self, observation: Float32, state: Float32, members: Array | None = None) -> Float32:
        """Return the critic's values `[...]` of `observation` [..., m, d] and `state` [..., q, s].

        With `members` [K], of `observation` [K, d] and `state` [K, s], seen by these agents of the group.
        """
        told = self.group.identity if members is None else self.group.identity[members]
        seen, around = self._inputs(observation, state, told)
        with torch.no_grad():
            values = self.returns.restore(self.critic(seen, around)[:, 0])
        out: Float32 = values.cpu().numpy().astype(np.float32)
        return out.reshape(observation.shape[:-1])

    def _inputs(self, observation: Float32, state: Float32, told: Float32) -> tuple[Tensor, Tensor]:
        """Return `[B, d + i]` and `[B, s]` on the device."""
        lead = observation.shape[:-1]
        seen = np.concatenate([observation, np.broadcast_to(told, (*lead, told.shape[-1]))], axis=-1)
        around = np.array(np.broadcast_to(state[..., : self.state_width], (*lead, self.state_width)))
        count, device = int(np.prod(lead)), self.policy.device
        flat = [torch.from_numpy(array.reshape(count, array.shape[-1])).to(device) for array in (seen, around)]
        return flat[0], flat[1]

    def _prepared(self, samples: GroupSamples) -> tuple[Batch, dict[str, float]]:
        """Return the samples with advantages and targets, and how well the critic knew them."""
        config, turn = self.config, samples.turn
        value = self.values(samples.observation, samples.state)
        # before the moments move: a clip is about what the network says, not about what that means
        said = self.returns.normalise(torch.from_numpy(value)).float()
        last = self.values(samples.last_observation, samples.last_state)
        reward = samples.reward.copy()
        if len(samples.cut):
            beyond = self.values(samples.cut_observation, samples.cut_state, samples.cut[:, 2])
            reward[tuple(samples.cut.T)] += np.float32(config.gamma) * beyond
        advantage = advantages_of_turns(reward, value, last, samples.ends, turn, config.gamma, config.gae_lambda)
        target = advantage + value
        measured = {"explained_variance": _explained(target[turn], value[turn])}
        if config.noise_baseline and samples.shock.shape[2]:
            before = float(advantage.var())
            advantage = _quiet(advantage, samples, config.gamma * config.gae_lambda)
            measured["noise_removed"] = 1.0 - float(advantage.var()) / before if before > 0 else float("nan")
        if config.value_norm:
            self.returns.update(torch.from_numpy(target[turn]))
        seen, around = self._inputs(samples.observation, samples.state, self.group.identity)
        chosen = torch.from_numpy(turn.reshape(-1))
        active = torch.from_numpy(samples.active.reshape(-1))
        scaled = torch.from_numpy(advantage.reshape(-1))
        if int(active.sum()) > 1:
            scaled[active] = normalise(scaled[active])
        batch = Batch(
            seen,
            around,
            torch.from_numpy(samples.action.reshape(len(chosen), -1)),
            torch.from_numpy(samples.log_prob.reshape(-1)),
            scaled,
            self.returns.normalise(torch.from_numpy(target.reshape(-1))).float(),
            said.reshape(-1),
            active,
        )
        batch = Batch(*(tensor.to(self.policy.device) for tensor in batch))
        return (batch if bool(chosen.all()) else batch.part(chosen)), measured

    def networks(self) -> dict[str, Array]:
        """Return policy, critic and moments of the returns: the model, without what only learning needs."""
        name = self.group.name
        arrays = capture_module(f"{name}.policy", self.policy) | capture_module(f"{name}.critic", self.critic)
        return arrays | capture_module(f"{name}.returns", self.returns)

    def load_networks(self, arrays: Mapping[str, Array]) -> None:
        """Load what `networks` returned."""
        name = self.group.name
        restore_module(f"{name}.policy", self.policy, arrays)
        restore_module(f"{name}.critic", self.critic, arrays)
        restore_module(f"{name}.returns", self.returns, arrays)

    def state_dict(self) -> Parts:
        """Return the learner's state between rollouts."""
        name = self.group.name
        arrays = self.networks()
        values: dict[str, Any] = {}
        for label, optimizer in (("actor", self.actor_optimizer), ("critic", self.critic_optimizer)):
            more, groups = capture_optimizer(f"{name}.{label}_optimizer", optimizer)
            arrays |= more
            values |= groups
        return arrays, values

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        name = self.group.name
        self.load_networks(arrays)
        restore_optimizer(f"{name}.actor_optimizer", self.actor_optimizer, arrays, values)
        restore_optimizer(f"{name}.critic_optimizer", self.critic_optimizer, arrays, values)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Take one step; return the gradient's norm before it was clipped to `limit`."""
    parameters = list(parameters)
    optimizer.zero_grad()
    loss.backward()
    norm = float(nn.utils.clip_grad_norm_(parameters, limit))
    optimizer.step()
    return norm


def _quiet(advantage: Float32, samples: GroupSamples, decay: float) -> Float32:
    """Return `advantage` [S, N, m] without what the market's moves explain of it; its episodes end for all at once."""
    ends = samples.ends[:, :, 0]
    start = np.concatenate([np.zeros_like(ends[:1]), ends[:-1]])
    decays = [decay * share for share in PERSISTENCE]
    return without_noise(advantage, noise_variates(samples.shock, samples.noise_state, start, ends[-1], decays))


def _explained(target: Float32, value: Float32) -> float:
    """Return 1 - Var(target - value) / Var(target); NaN where there is nothing to explain."""
    spread = float(target.var()) if target.size else 0.0
    return 1.0 - float((target - value).var()) / spread if spread > 0 else float("nan")
