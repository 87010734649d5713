"""The centralised critic of joint training: it sees more than its actor and is dropped afterwards."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from mtquant.agents.policy import FrozenNormaliser
from mtquant.envs.spaces import Normaliser


class CentralCritic(nn.Module):
    """Values of an observation `[B, d]` and the central state `[B, c]`: one column per reward stream."""

    def __init__(
        self, observation: Box, normaliser: Normaliser, central: int, hidden: Sequence[int], streams: int
    ) -> None:
        super().__init__()
        self.normaliser = FrozenNormaliser(observation, normaliser)
        widths = [len(normaliser.mean) + central, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.Tanh()]
        layers.append(nn.Linear(widths[-1], streams))
        self.body = nn.Sequential(*layers)

    def forward(self, observation: Tensor, central: Tensor) -> Tensor:
        """Return `[B, streams]`."""
        values: Tensor = self.body(torch.cat([self.normaliser(observation), central], dim=1))
        return values
