"""Running mean and deviation of returns, so that the critic's targets keep one scale whatever the rewards are."""

import torch
from torch import Tensor, nn

FLOOR = 1e-2
"""Least variance."""


class ValueNorm(nn.Module):
    """Exponential mean and variance without the bias of their start (Yu et al., 2022; Adam's correction).

    `decay` is the share that stays at an update; as it approaches 1, this is the plain mean over all updates.
    """

    mean: Tensor
    square: Tensor
    weight: Tensor

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        for name in ("mean", "square", "weight"):
            # in double precision, because the variance is a difference of squares
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def update(self, returns: Tensor) -> None:
        """Count the returns `[B]` of one rollout."""
        found = returns.detach().to(torch.float64)
        for total, value in ((self.mean, found.mean()), (self.square, found.square().mean()), (self.weight, 1.0)):
            total.mul_(self.decay).add_((1.0 - self.decay) * value)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation; 0 and 1 before the first update."""
        weight = float(self.weight)
        if weight == 0.0:
            return 0.0, 1.0
        mean = float(self.mean) / weight
        return mean, max(float(self.square) / weight - mean**2, FLOOR) ** 0.5

    def normalise(self, returns: Tensor) -> Tensor:
        """Return (returns - mean) / deviation."""
        mean, deviation = self.moments()
        return (returns - mean) / deviation

    def restore(self, values: Tensor) -> Tensor:
        """Undo `normalise`."""
        mean, deviation = self.moments()
        return values * deviation + mean
