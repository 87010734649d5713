"""`GradientCoordinationSystem`: several objectives of one policy, one update.

Gradients of different networks live in different spaces and are never combined; what is coordinated are
the objectives (portfolio, own book) of each single policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtquant.agents.learning.aggregators import Aggregator


@dataclass(frozen=True)
class ConflictMetrics:
    """How the objectives of one policy agreed in one update."""

    cosine: float
    """Mean cosine between row 0 and the others; NaN with one row or a zero gradient."""
    conflict: float
    """Share of other rows with a negative cosine to row 0."""
    norm_ratio: float
    """Mean norm of the other rows over that of row 0."""
    primary_progress: float
    """<g_0, d> / (|g_0| |d|): how much of the step helps the portfolio."""

    def named(self) -> dict[str, float]:
        """Return the measures by name."""
        return dict(vars(self))


class GradientCoordinationSystem:
    """Combines the objectives of a policy and adapts step sizes.

    `target_kl` is the divergence per update that `adaptive_learning_rates` steers towards.
    """

    def __init__(self, aggregator: Aggregator, *, target_kl: float = 0.01) -> None:
        self.aggregator = aggregator
        self.target_kl = target_kl
        self.rates: dict[str, float] = {}

    def coordinate_updates(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> ConflictMetrics:
        """Set `.grad` of `parameters` to the aggregated gradient of `losses` (row 0 is the portfolio's)."""
        rows = []
        for index, loss in enumerate(losses):
            grads = torch.autograd.grad(loss, parameters, retain_graph=index + 1 < len(losses), allow_unused=True)
            rows.append(
                torch.cat(
                    [
                        (torch.zeros_like(p) if g is None else g).reshape(-1)
                        for g, p in zip(grads, parameters, strict=True)
                    ]
                )
            )
        jacobian = torch.stack(rows)
        direction = self.aggregator(jacobian)
        offset = 0
        for parameter in parameters:
            size = parameter.numel()
            parameter.grad = direction[offset : offset + size].reshape(parameter.shape).clone()
            offset += size
        return _measure(jacobian, direction)

    def adaptive_learning_rates(self, performance_metrics: Mapping[str, float]) -> dict[str, float]:
        """Return step-size multipliers by agent from the agents' KL divergences.

        A divergence over twice the target divides by 1.5, one under half of it multiplies by 1.5;
        multipliers stay within [0.01, 1]. They are part of a checkpoint.
        """
        for agent, divergence in performance_metrics.items():
            rate = self.rates.get(agent, 1.0)
            if divergence > 2.0 * self.target_kl:
                rate /= 1.5
            elif divergence < 0.5 * self.target_kl:
                rate *= 1.5
            self.rates[agent] = min(1.0, max(0.01, rate))
        return dict(self.rates)

    def gradient_clipping(self, gradients: Sequence[nn.Parameter], max_norm: float = 1.0) -> float:
        """Scale the `.grad` of the parameters to a joint norm of at most `max_norm`; return the norm before."""
        return float(nn.utils.clip_grad_norm_(list(gradients), max_norm))


def _measure(jacobian: Tensor, direction: Tensor) -> ConflictMetrics:
    norms = jacobian.norm(dim=1)
    primary, others = jacobian[0], jacobian[1:]
    nan = float("nan")
    size = float(direction.norm() * norms[0])
    progress = float(primary @ direction) / size if size > 0 else nan
    if len(others) == 0 or float(norms.min()) == 0.0:
        return ConflictMetrics(nan, nan, nan, progress)
    cosine = others @ primary / (norms[1:] * norms[0])
    return ConflictMetrics(
        float(cosine.mean()), float((cosine < 0).float().mean()), float((norms[1:] / norms[0]).mean()), progress
    )
