"""The clipped surrogate of PPO (Schulman et al., 2017) as pure functions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

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


def surrogate_terms(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Return `[B]` the terms of `surrogate`."""
    ratio = torch.exp(log_prob - old_log_prob)
    clipped = torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
    return -torch.min(advantage * ratio, advantage * clipped)


def surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Return -E[min(r A, clip(r, 1 +- clip_range) A)] for log-probabilities `[B]` and advantages `[B]`."""
    return surrogate_terms(log_prob, old_log_prob, advantage, clip_range).mean()


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


def value_terms(value: Tensor, old_value: Tensor, target: Tensor, clip_range: float | None, delta: float) -> Tensor:
    """Return `[B]` Huber losses of values; with `clip_range` the larger of those with and without clipped change.

    Schulman et al. (2017) clip the change of a value as that of a ratio; `delta` is where the loss turns linear.
    """
    loss = nn.functional.huber_loss(value, target, reduction="none", delta=delta)
    if clip_range is None:
        return loss
    near = old_value + torch.clamp(value - old_value, -clip_range, clip_range)
    return torch.max(loss, nn.functional.huber_loss(near, target, reduction="none", delta=delta))


def advantages(
    reward: Float32, value: Float32, last_value: Float32, start: Bool, last_done: Bool, gamma: float, lam: float
) -> Float32:
    """Return generalised advantage estimates `[S, N, ...]` (Schulman et al., 2016), as SB3 computes them.

    `start` [S, N] marks the first step of an episode, `last_done` [N] that the step after the rollout
    begins one. Rewards already contain the bootstrap of truncated episodes.
    """
    ends = np.concatenate([start[1:], last_done[None]]).reshape(*reward.shape[:2], *(1,) * (reward.ndim - 2))
    return advantages_of_turns(reward, value, last_value, ends, np.ones_like(ends), gamma, lam)


def advantages_of_turns(
    reward: Float32, value: Float32, last_value: Float32, ends: Bool, turn: Bool, gamma: float, lam: float
) -> Float32:
    """Return generalised advantage estimates `[S, N, ...]` of streams that do not have a turn in every step.

    `ends` [S, N, ...] marks the last step of a stream, `turn` [S, N, ...] the steps with a sample. Elsewhere the
    estimate is 0, `value` does not count, and the reward belongs to the turn before, undiscounted: discounting goes
    by turns. Rewards before the first turn belong to nobody.
    """
    out = np.zeros_like(reward)
    last, late = np.zeros_like(last_value), np.zeros_like(last_value)
    following = last_value
    for step in reversed(range(len(reward))):
        goes_on = 1.0 - ends[step].astype(np.float32)
        late = late * goes_on + reward[step]
        delta = late + gamma * following * goes_on - value[step]
        estimate = delta + gamma * lam * goes_on * last
        here = turn[step]
        out[step] = np.where(here, estimate, 0.0)
        last = np.where(here, estimate, last * goes_on)
        following = np.where(here, value[step], following * goes_on)
        late = np.where(here, 0.0, late)
    return out


def noise_variates(shock: Float32, state: Float32, start: Bool, last_done: Bool, decays: Sequence[float]) -> Float32:
    """Return `[S, B, q m len(decays)]` products of `state` [S, B, q, m] and decayed sums of later `shock` [S, B, q].

    sum_k decay^k shock_{t+k} state_t within the episode, for each of q shocks. Price moves do not depend
    on actions and `state` is known before the action is drawn, so any combination of these may be
    subtracted from an advantage without biasing the policy gradient (input-dependent baseline: Mao et
    al., 2019). `start` and `last_done` as in `advantages`.
    """
    count = len(decays)
    rates = np.asarray(decays, dtype=np.float32)
    sums = np.zeros((*shock.shape, count), dtype=np.float32)
    running = np.zeros((*shock.shape[1:], count), dtype=np.float32)
    for step in reversed(range(len(shock))):
        ends = last_done if step == len(shock) - 1 else start[step + 1]
        goes_on = np.where(ends, 0.0, 1.0).astype(np.float32)[:, None, None]
        running = shock[step][..., None] + rates * goes_on * running
        sums[step] = running
    return (state[..., :, None] * sums[..., None, :]).reshape(*shock.shape[:2], -1)


def without_noise(advantage: Float32, variates: Float32) -> Float32:
    """Return `advantage` [S, B, streams] less its least-squares fit on `variates` [S, B, m] (control variates)."""
    flat = variates.reshape(-1, variates.shape[-1]).astype(np.float64)
    values = advantage.reshape(-1, advantage.shape[-1]).astype(np.float64)
    gram = flat.T @ flat
    # the constant keeps a rollout in which nothing moved solvable
    ridge = (1e-6 * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, flat.T @ (values - values.mean(axis=0)))
    out: Float32 = (values - flat @ weights).reshape(advantage.shape).astype(np.float32)
    return out
