"""The policy of every agent: SB3's `ActorCriticPolicy` with the observation normaliser inside the network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
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


def build_policy(observation: Box, action: Box, learning_rate: float, arguments: dict[str, Any]) -> ActorCriticPolicy:
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
    """What deploys: normaliser, policy network and clipping to the action's bounds; deterministic."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        super().__init__()
        space = policy.action_space
        assert isinstance(space, Box)
        self.normaliser = policy.features_extractor
        self.body = policy.mlp_extractor.policy_net
        self.head = policy.action_net
        self.low, self.high = float(space.low.min()), float(space.high.max())

    def forward(self, observation: Tensor) -> Tensor:
        """Return the clipped mean action `[N, a]` of observations `[N, d]`."""
        action: Tensor = self.head(self.body(self.normaliser(observation)))
        return torch.clamp(action, self.low, self.high)

    def act(self, observation: Array) -> Array:
        """Act on numpy arrays; an `ActFn`."""
        with torch.no_grad():
            out = self(torch.from_numpy(np.ascontiguousarray(observation, dtype=np.float32)))
        action: Array = out.numpy()
        return action
