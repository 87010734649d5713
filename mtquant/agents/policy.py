"""The policy of every agent: SB3's `ActorCriticPolicy` with the observation normaliser inside the network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from mtquant.envs.spaces import Normaliser
from mtquant.types import Array


class FrozenNormaliser(BaseFeaturesExtractor):
    """(observation - mean) / std, clipped; buffers that train-split statistics fill once."""

    mean: Tensor
    std: Tensor

    def __init__(self, observation_space: Box, normaliser: Normaliser) -> None:
        super().__init__(observation_space, features_dim=len(normaliser.mean))
        self.register_buffer("mean", torch.from_numpy(normaliser.mean.copy()))
        self.register_buffer("std", torch.from_numpy(normaliser.std.copy()))
        self.clip = normaliser.clip

    def forward(self, observations: Tensor) -> Tensor:
        """Return normalised observations."""
        return torch.clamp((observations - self.mean) / self.std, -self.clip, self.clip)


def policy_arguments(
    normaliser: Normaliser,
    *,
    actor_hidden: Sequence[int],
    critic_hidden: Sequence[int],
    log_std_init: float,
    weight_decay: float,
) -> dict[str, Any]:
    """Return the keyword arguments that make an `ActorCriticPolicy` one of ours."""
    return {
        "features_extractor_class": FrozenNormaliser,
        "features_extractor_kwargs": {"normaliser": normaliser},
        "net_arch": {"pi": list(actor_hidden), "vf": list(critic_hidden)},
        "activation_fn": nn.Tanh,
        "log_std_init": log_std_init,
        "optimizer_class": torch.optim.AdamW,
        "optimizer_kwargs": {"eps": 1e-5, "weight_decay": weight_decay},
    }


def build_policy(
    observation: Box, action: Space[Any], learning_rate: float, arguments: dict[str, Any]
) -> ActorCriticPolicy:
    """Return a fresh policy."""
    return ActorCriticPolicy(observation, action, lambda _: learning_rate, **arguments)


def hold(policy: ActorCriticPolicy, action: float) -> None:
    """Make the mean action `action` whatever is observed."""
    head = policy.action_net
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(action)


class Actor(nn.Module):
    """What deploys: normaliser, policy network and the best action; deterministic.

    `identity` is what a policy that several agents share is told behind the observation.
    """

    identity: Tensor

    def __init__(self, policy: ActorCriticPolicy, identity: Sequence[float] = ()) -> None:
        super().__init__()
        self.normaliser = policy.features_extractor
        self.body = policy.mlp_extractor.policy_net
        self.head = policy.action_net
        self.register_buffer("identity", torch.tensor([list(identity)], dtype=torch.float32), persistent=False)
        self.identified = len(identity) > 0
        space = policy.action_space
        self.counts: list[int] = []
        if isinstance(space, Box):
            self.low, self.high = float(space.low.min()), float(space.high.max())
        elif isinstance(space, Discrete):
            self.counts = [int(space.n)]
        elif isinstance(space, MultiDiscrete):
            self.counts = [int(n) for n in space.nvec]

    def forward(self, observation: Tensor) -> Tensor:
        """Return `[N, a]` of observations `[N, d]`: the clipped mean, or the indices of the likeliest choices."""
        said = self._said(observation)
        if not self.counts:
            return torch.clamp(said, self.low, self.high)
        return torch.stack([part.argmax(dim=1) for part in said.split(self.counts, dim=1)], dim=1)

    def _said(self, observation: Tensor) -> Tensor:
        """Return means, or scores of all choices."""
        if self.identified:
            observation = torch.cat([observation, self.identity.expand(observation.shape[0], -1)], dim=1)
        said: Tensor = self.head(self.body(self.normaliser(observation)))
        return said

    def margin(self, observation: Array) -> Array:
        """Return `[N]` by how much the likeliest choices beat the next ones; infinite where nothing is chosen."""
        with torch.no_grad():
            said = self._said(torch.from_numpy(np.ascontiguousarray(observation, dtype=np.float32)))
        out = np.full(len(said), np.inf)
        for part in said.split(self.counts, dim=1) if self.counts else ():
            if part.shape[1] > 1:
                best, next_best = part.topk(2, dim=1).values.numpy().T
                out = np.minimum(out, best - next_best)
        return out

    def act(self, observation: Array) -> Array:
        """Act on numpy arrays; an `ActFn`."""
        with torch.no_grad():
            out = self(torch.from_numpy(np.ascontiguousarray(observation, dtype=np.float32)))
        action: Array = out.numpy()
        return action
