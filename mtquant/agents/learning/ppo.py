"""The clipped surrogate of PPO (Schulman et al., 2017) as pure functions."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtquant.types import Bool, Float32


class PolicyLoss(NamedTuple):
    """Scalars of one minibatch."""

    surrogate: Tensor
    """-E[min(r A, clip(r) A)]; differentiable."""
    entropy: Tensor
    """-E[entropy]; differentiable."""
    approx_kl: float
    """E[(r - 1) - ln r] (Schulman, 2020)."""
    clip_fraction: float
    """Share of samples whose ratio lies outside the clip range."""


def normalise(advantage: Tensor) -> Tensor:
    """Return advantages with mean 0 and standard deviation 1 (SB3's constant 1e-8)."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Return -E[min(r A, clip(r, 1 +- clip_range) A)] for log-probabilities `[B]` and advantages `[B]`."""
    ratio = torch.exp(log_prob - old_log_prob)
    clipped = torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
    return -torch.min(advantage * ratio, advantage * clipped).mean()


def ppo_losses(
    log_prob: Tensor, entropy: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float
) -> PolicyLoss:
    """Return the policy terms of PPO; equal to SB3's on the same batch."""
    with torch.no_grad():
        log_ratio = log_prob - old_log_prob
        ratio = torch.exp(log_ratio)
        kl = float(((ratio - 1) - log_ratio).mean())
        share = float((torch.abs(ratio - 1) > clip_range).float().mean())
    return PolicyLoss(surrogate(log_prob, old_log_prob, advantage, clip_range), -entropy.mean(), kl, share)


def advantages(
    reward: Float32, value: Float32, last_value: Float32, start: Bool, last_done: Bool, gamma: float, lam: float
) -> Float32:
    """Return generalised advantage estimates `[S, N, ...]` (Schulman et al., 2016), as SB3 computes them.

    `start` [S, N] marks the first step of an episode, `last_done` [N] that the step after the rollout
    begins one. Rewards already contain the bootstrap of truncated episodes.
    """
    out = np.zeros_like(reward)
    last = np.zeros_like(last_value)
    extra = (1,) * (reward.ndim - 2)
    for step in reversed(range(len(reward))):
        ends = last_done if step == len(reward) - 1 else start[step + 1]
        following = last_value if step == len(reward) - 1 else value[step + 1]
        goes_on = (1.0 - ends.astype(np.float32)).reshape(-1, *extra)
        delta = reward[step] + gamma * following * goes_on - value[step]
        last = delta + gamma * lam * goes_on * last
        out[step] = last
    return out
