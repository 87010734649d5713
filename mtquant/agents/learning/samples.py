"""What a learner of phase 3 remembers of a rollout, what it learns from, and how."""

from typing import NamedTuple

from torch import Tensor

from mtquant.types import Float32


class Choice(NamedTuple):
    """What an agent chose in a bar; B samples."""

    observation: Float32
    """[B, d]"""
    central: Float32
    """[B, c]"""
    action: Float32
    """[B, a] before clipping."""
    log_prob: Float32
    """[B]"""
    value: Float32
    """[B, streams]"""
    mean: Float32
    """[B, a] mean of the action before clipping."""


class Exposed(NamedTuple):
    """What the bar after a choice brought to positions; B samples each."""

    shock: Float32
    """[B, q] price moves in volatilities."""
    state: Float32
    """[B, q, m] what the position of the next bars depends on, known before the choice."""


class Rollout(NamedTuple):
    """Flat samples `[S B, ...]` ready for updates."""

    observation: Tensor
    central: Tensor
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    """[S B, streams], normalised per stream."""
    target: Tensor
    """[S B, streams] returns."""
    explained_variance: float
    noise_removed: float
    """Share of the advantages' variance that was market noise, NaN where nothing was subtracted."""
    positive: Float32
    """[S, N] max(advantage, 0) of the first stream by step and row, learned from or not."""


class UpdateSettings(NamedTuple):
    """Numbers of one update."""

    epochs: int
    minibatches: int
    clip_range: float
    max_grad_norm: float
    critic_only: bool
    anchor: float = 0.0
    """Weight of the divergence from the policy that joint training began with."""


class Discounting(NamedTuple):
    """How rewards of later steps count."""

    gamma: float
    lam: float
    """Lambda of generalised advantage estimation."""
    persistence: tuple[float, ...]
    """Shares of a position that last from step to step (`noise_variates`)."""
