"""The learners of phase 3: one policy per agent, each with its own rollout, critic and optimisers."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn
from torch.distributions import Distribution

from mtquant.agents.learning.critic import CentralCritic
from mtquant.agents.learning.gradient_coordination import GradientCoordinationSystem, noise_corrected_cosine
from mtquant.agents.learning.ppo import (
    advantages,
    noise_variates,
    normalise,
    ppo_losses,
    surrogate,
    surrogate_terms,
    without_noise,
)
from mtquant.agents.learning.samples import Choice, Discounting, Exposed, Rollout, UpdateSettings
from mtquant.agents.learning.state import Parts, capture_module, capture_optimizer, restore_module, restore_optimizer
from mtquant.types import Array, Bool, Float, Float32

HUBER_DELTA = 10.0


class JointLearner:
    """One agent: policy, centralised critic, optimisers; `streams` reward streams.

    Samples of one bar are ordered row by row (`per_row` each), so that episode ends of rows apply to
    all samples of the row. An exploration width that wants no gradient stays as it is.
    """

    def __init__(
        self,
        name: str,
        policy: ActorCriticPolicy,
        critic: CentralCritic,
        coordination: GradientCoordinationSystem,
        *,
        streams: int,
        per_row: int,
        discounting: Discounting,
        weight_decay: float,
    ) -> None:
        self.name, self.policy, self.critic, self.coordination = name, policy, critic, coordination
        self.streams, self.per_row, self.discounting = streams, per_row, discounting
        self.actor_parameters: list[nn.Parameter] = [
            *policy.mlp_extractor.policy_net.parameters(),
            *policy.action_net.parameters(),
            *([policy.log_std] if policy.log_std.requires_grad else []),
        ]
        # biases and the exploration width are not shrunk: a width pulled to 1 would drown the action
        matrices = [p for p in self.actor_parameters if p.ndim > 1]
        others = [p for p in self.actor_parameters if p.ndim <= 1]
        self.actor_optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}], eps=1e-5
        )
        self.critic_optimizer = torch.optim.Adam(critic.parameters(), eps=1e-5)
        self.reference: ActorCriticPolicy | None = None
        self._first: tuple[Tensor, Tensor] | None = None
        """Gradients of the objectives, and the parameters, at the beginning of the present update."""
        self.steps: list[Choice] = []
        self.rewards: list[Float32] = []
        self.starts: list[Bool] = []
        self.learning: list[Bool] = []
        self.exposed: list[Exposed] = []

    def anchor(self) -> None:
        """Let updates pay for divergence from the policy as it is now (`UpdateSettings.anchor`)."""
        self.reference = copy.deepcopy(self.policy).requires_grad_(False)

    def choose(self, observation: Float32, central: Float32) -> Float32:
        """Sample actions `[B, a]` for observations `[B, d]` and remember the choice."""
        with torch.no_grad():
            seen, around = torch.from_numpy(observation), torch.from_numpy(central)
            distribution = self.policy.get_distribution(seen)
            action = distribution.get_actions()
            log_prob = distribution.log_prob(action)
            value = self.critic(seen, around)
            mean = distribution.mode()
        self.steps.append(Choice(observation, central, action.numpy(), log_prob.numpy(), value.numpy(), mean.numpy()))
        return self.steps[-1].action

    def value(self, observation: Float32, central: Float32) -> Float32:
        """Return values `[B, streams]`."""
        with torch.no_grad():
            out: Float32 = self.critic(torch.from_numpy(observation), torch.from_numpy(central)).numpy()
        return out

    def pay(self, reward: Float32, start: Bool, exposed: Exposed | None = None, learning: Bool | None = None) -> None:
        """Add the rewards `[B, streams]` of the last choice; `start` [N]: it was its episode's first.

        `learning` [N]: whether a row's samples are learned from; None: all are.
        """
        self.rewards.append(reward.astype(np.float32))
        if learning is not None:
            self.learning.append(np.repeat(learning, self.per_row))
        if exposed is not None:
            self.exposed.append(exposed)
        self.starts.append(np.repeat(start, self.per_row))

    def finish(
        self, last_value: Float32, last_done: Bool, multiplier: float | None = None, derivative: Float | None = None
    ) -> Rollout:
        """Turn the remembered choices into samples and forget them.

        With `multiplier` stream 1 is a cost: the policy learns from (A_0 - multiplier A_1) / (1 + multiplier).
        `derivative` [S, B, a, w] of the first w streams' returns by the actions: advantages are what deviations from
        the mean action brought (`counterfactual`).
        """
        value = np.stack([step.value for step in self.steps])
        advantage = advantages(
            np.stack(self.rewards),
            value,
            last_value,
            np.stack(self.starts),
            np.repeat(last_done, self.per_row),
            self.discounting.gamma,
            self.discounting.lam,
        )
        target = advantage + value
        removed = self._remove_noise(advantage, last_done, derivative)
        paid = advantage
        if multiplier is not None:
            cost = np.float32(multiplier) * advantage[..., 1:2]
            paid = ((advantage[..., :1] - cost) / np.float32(1.0 + multiplier)).astype(np.float32)
        spread = float(target[..., 0].var())
        explained = 1.0 - float((target[..., 0] - value[..., 0]).var()) / spread if spread > 0 else float("nan")
        positive = np.maximum(advantage[..., 0], 0.0).reshape(len(advantage), -1, self.per_row).mean(axis=2)
        kept = self._kept()
        scaled = torch.from_numpy(paid.reshape(-1, paid.shape[-1]))[kept]
        if len(scaled):
            scaled = torch.stack([normalise(scaled[:, i]) for i in range(paid.shape[-1])], dim=1)
        rollout = Rollout(
            self._flat("observation")[kept],
            self._flat("central")[kept],
            self._flat("action")[kept],
            self._flat("log_prob")[kept],
            scaled,
            torch.from_numpy(target.reshape(-1, target.shape[-1]))[kept],
            explained,
            removed,
            positive,
        )
        self.steps, self.rewards, self.starts, self.exposed, self.learning = [], [], [], [], []
        return rollout

    def _kept(self) -> Tensor | slice:
        """Return which samples are learned from: none where it would be one alone, which has no deviation."""
        if not self.learning:
            return slice(None)
        kept = np.stack(self.learning)
        if kept.sum() < 2 * self.per_row:
            kept[:] = False
        return torch.from_numpy(kept.reshape(-1))

    def _flat(self, name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(step, name) for step in self.steps]))

    def _remove_noise(self, advantage: Float32, last_done: Bool, derivative: Float | None) -> float:
        """Take the market's noise out of `advantage` in place; return the share of variance it was."""
        before = float(advantage[..., 0].var())
        if derivative is not None:
            advantage[..., : derivative.shape[-1]] = np.einsum("sba,sbaw->sbw", self._deviation(), derivative)
            return 1.0 - float(advantage[..., 0].var()) / before
        if not self.exposed:
            return float("nan")
        shock = np.stack([e.shock for e in self.exposed])
        state = np.stack([e.state for e in self.exposed])
        mean = np.clip(np.stack([step.mean[:, 0] for step in self.steps]), -1.0, 1.0)[..., None, None]
        discount = self.discounting.gamma * self.discounting.lam
        variates = noise_variates(
            shock,
            np.concatenate([state, mean * state[..., :1]], axis=-1),
            np.stack(self.starts),
            np.repeat(last_done, self.per_row),
            [discount * share for share in self.discounting.persistence],
        )
        advantage[:] = without_noise(advantage, variates)
        return 1.0 - float(advantage[..., 0].var()) / before

    def _deviation(self) -> Float32:
        """Return `[S, B, a]` by how much actions differed from their means, both within their bounds."""
        space = self.policy.action_space
        assert isinstance(space, Box)
        action, mean = (np.stack([getattr(step, name) for step in self.steps]) for name in ("action", "mean"))
        deviation: Float32 = np.clip(action, space.low, space.high) - np.clip(mean, space.low, space.high)
        return deviation

    def update(
        self,
        rollouts: Sequence[Rollout],
        settings: UpdateSettings,
        rates: tuple[float, float],
        correction: Tensor | None = None,
    ) -> dict[str, float]:
        """Take gradient steps on the samples of `rollouts`; `rates` are the actor's and critic's step sizes.

        `correction` [samples] multiplies the portfolio's advantages: the ratio by which agents that were updated
        before changed the probability of what they did (HAPPO: Kuba et al., 2022).
        """
        for optimizer, rate in zip((self.actor_optimizer, self.critic_optimizer), rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
        parts = [torch.cat([getattr(r, name) for r in rollouts]) for name in Rollout._fields[:6]]
        count = len(parts[0])
        if not count:
            return {}
        if correction is not None:
            parts[4] = torch.cat([parts[4][:, :1] * correction[:, None], parts[4][:, 1:]], dim=1)
        # Samples of a bar are ordered row by row, instruments innermost.
        parts.append(torch.arange(count) % self.per_row)
        self._first = None
        size = -(-count // settings.minibatches)
        measured: list[dict[str, float]] = []
        for _ in range(settings.epochs):
            order = torch.randperm(count)
            for begin in range(0, count, size):
                batch = [part[order[begin : begin + size]] for part in parts]
                measured.append(self._minibatch(batch, settings))
        names = dict.fromkeys(name for entry in measured for name in entry)
        return {name: _mean([entry[name] for entry in measured if name in entry]) for name in names} | self._progress()

    def ratio(self, rollouts: Sequence[Rollout]) -> Tensor:
        """Return `[samples]` by which the updates so far changed the probability of each action taken."""
        observation, action, before = (
            torch.cat([getattr(r, name) for r in rollouts]) for name in ("observation", "action", "log_prob")
        )
        with torch.no_grad():
            now: Tensor = self.policy.get_distribution(observation).log_prob(action)
        return torch.exp(now - before)

    def _progress(self) -> dict[str, float]:
        """Return what the update really brought each objective to first order: -J (theta_end - theta_start)."""
        if self._first is None:
            return {}
        jacobian, before = self._first
        gained = -(jacobian @ (self._parameters() - before))
        return {name: float(gain) for name, gain in zip(("portfolio_progress", "own_progress"), gained, strict=False)}

    def _parameters(self) -> Tensor:
        return torch.cat([parameter.detach().reshape(-1) for parameter in self.actor_parameters])

    def _minibatch(self, batch: list[Tensor], settings: UpdateSettings) -> dict[str, float]:
        observation, central, _, _, _, target, _ = batch
        value_loss = nn.functional.huber_loss(self.critic(observation, central), target, delta=HUBER_DELTA)
        self.critic_optimizer.zero_grad()
        value_loss.backward()
        nn.utils.clip_grad_norm_(self.critic.parameters(), settings.max_grad_norm)
        self.critic_optimizer.step()
        out = {"value_loss": float(value_loss.detach())}
        if settings.critic_only:
            return out
        if self._first is None:
            out |= self._begin(batch, settings.clip_range)
        losses, measured = self._losses(batch, settings.clip_range)
        conflict = self.coordination.coordinate_updates(losses, self.actor_parameters)
        if self.reference is not None:
            out["anchor_kl"] = self._pull(observation, settings.anchor)
        norm = self.coordination.gradient_clipping(self.actor_parameters, settings.max_grad_norm)
        self.actor_optimizer.step()
        return out | measured | {"gradient_norm": norm} | conflict.named()

    def _losses(self, batch: list[Tensor], clip_range: float) -> tuple[list[Tensor], dict[str, float]]:
        """Return the loss of every objective, the portfolio's first, and what PPO measures of it.

        Where instruments are peers the first is `[p]`, one loss per instrument.
        """
        observation, _, action, old_log_prob, advantage, _, instrument = batch
        distribution = self.policy.get_distribution(observation)
        log_prob = distribution.log_prob(action)
        entropy = distribution.entropy()
        assert entropy is not None
        main = ppo_losses(log_prob, entropy, old_log_prob, advantage[:, 0], clip_range)
        losses = [main.surrogate] + [
            surrogate(log_prob, old_log_prob, advantage[:, i], clip_range) for i in range(1, advantage.shape[1])
        ]
        if self.coordination.peers is not None and self.per_row > 1:
            terms = surrogate_terms(log_prob, old_log_prob, advantage[:, 0], clip_range)
            share = self.per_row / len(terms)
            losses[0] = torch.stack([share * terms[instrument == i].sum() for i in range(self.per_row)])
        measured = {
            "policy_loss": float(main.surrogate.detach()),
            "approx_kl": main.approx_kl,
            "clip_fraction": main.clip_fraction,
        }
        return losses, measured

    def _begin(self, batch: list[Tensor], clip_range: float) -> dict[str, float]:
        """Remember where the update begins; return how the objectives agree once noise is taken out."""
        rows = [
            self.coordination.jacobian(self._losses(part, clip_range)[0], self.actor_parameters)
            for part in ([tensor[::2] for tensor in batch], [tensor[1::2] for tensor in batch])
        ]
        # The halves are of one size (but for one sample), so their mean is the whole batch's gradient.
        self._first = 0.5 * (rows[0] + rows[1]), self._parameters()
        return {"corrected_cosine": noise_corrected_cosine(*rows)}

    def _pull(self, observation: Tensor, weight: float) -> float:
        """Add the gradient of the divergence from the reference policy; return the divergence."""
        assert self.reference is not None
        with torch.no_grad():
            reference = self.reference.get_distribution(observation).distribution
        now = self.policy.get_distribution(observation).distribution
        assert isinstance(now, Distribution)
        assert isinstance(reference, Distribution)
        divergence = torch.distributions.kl_divergence(now, reference).sum(dim=1).mean()
        found = torch.autograd.grad(weight * divergence, self.actor_parameters)
        for parameter, gradient in zip(self.actor_parameters, found, strict=True):
            assert parameter.grad is not None
            parameter.grad += gradient
        return float(divergence.detach())

    def state_dict(self) -> Parts:
        """Return the learner's state between rollouts."""
        arrays = capture_module(f"{self.name}.policy", self.policy) | capture_module(f"{self.name}.critic", self.critic)
        values: dict[str, Any] = {f"{self.name}.rates": dict(self.coordination.rates)}
        for label, optimizer in (("actor", self.actor_optimizer), ("critic", self.critic_optimizer)):
            more, groups = capture_optimizer(f"{self.name}.{label}_optimizer", optimizer)
            arrays |= more
            values |= groups
        return arrays, values

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        restore_module(f"{self.name}.policy", self.policy, arrays)
        restore_module(f"{self.name}.critic", self.critic, arrays)
        restore_optimizer(f"{self.name}.actor_optimizer", self.actor_optimizer, arrays, values)
        restore_optimizer(f"{self.name}.critic_optimizer", self.critic_optimizer, arrays, values)
        self.coordination.rates = dict(values[f"{self.name}.rates"])


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the defined values, NaN where none is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
