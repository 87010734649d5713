"""`GradientCoordinationSystem`: several objectives of one policy, one update.

Gradients of different networks live in different spaces and are never combined; what is coordinated are
the objectives (portfolio, own book) of each single policy.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtquant.agents.learning.aggregators import Aggregator

MINIMUM_RELIABILITY = 0.05


@dataclass(frozen=True)
class ConflictMetrics:
    """How the objectives of one policy agreed in one update."""

    cosine: float
    """Mean cosine between row 0 and the others; NaN with one row or a zero gradient."""
    conflict: float
    """Share of other rows with a negative cosine to row 0."""
    norm_ratio: float
    """Mean norm of the other rows over that of row 0."""
    removed: float
    """Mean share of the other rows' norm that opposes row 0: what a projection on it takes away."""
    primary_progress: float
    """<g_0, d> / (|g_0| |d|): how much of the step helps the portfolio."""

    def named(self) -> dict[str, float]:
        """Return the measures by name."""
        return dict(vars(self))


class GradientCoordinationSystem:
    """Combines the objectives of a policy and adapts step sizes.

    `target_kl` is the divergence per update that `adaptive_learning_rates` steers towards. `peers` makes one
    gradient of those of objectives of equal standing: the instruments of one specialist.
    """

    def __init__(self, aggregator: Aggregator, *, peers: Aggregator | None = None, target_kl: float = 0.01) -> None:
        self.aggregator = aggregator
        self.peers = peers
        self.target_kl = target_kl
        self.rates: dict[str, float] = {}
        self.seconds = 0.0
        """Processor time of aggregation so far; not part of a checkpoint, for it decides nothing."""

    def coordinate_updates(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> ConflictMetrics:
        """Set `.grad` of `parameters` to the aggregated gradient of `losses` (row 0 is the portfolio's).

        A loss is a scalar, or `[p]` with one entry per peer, whose mean it stands for.
        """
        jacobian = self.jacobian(losses, parameters)
        started = time.process_time()
        direction = self.aggregator(jacobian)
        self.seconds += time.process_time() - started
        offset = 0
        for parameter in parameters:
            size = parameter.numel()
            parameter.grad = direction[offset : offset + size].reshape(parameter.shape).clone()
            offset += size
        return _measure(jacobian, direction)

    def jacobian(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> Tensor:
        """Return `[m, n]` one gradient per loss; those of peers have become one."""
        rows = [self._row(loss, parameters, keep=index + 1 < len(losses)) for index, loss in enumerate(losses)]
        return torch.stack(rows)

    def _row(self, loss: Tensor, parameters: Sequence[nn.Parameter], *, keep: bool) -> Tensor:
        if loss.ndim == 0:
            return _gradient(loss, parameters, keep=keep)
        if self.peers is None:
            return _gradient(loss.mean(), parameters, keep=keep)
        last = len(loss) - 1
        rows = [_gradient(one, parameters, keep=keep or index < last) for index, one in enumerate(loss)]
        return self.peers(torch.stack(rows))

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


def noise_corrected_cosine(first: Tensor, second: Tensor) -> float:
    """Return the cosine between the expected gradients of rows 0 and 1 from two halves of a batch, `[m, n]` each.

    Sampling noise pulls a measured cosine towards zero, and noise that two objectives share pulls it towards one.
    Rows of different halves share no noise: their mean cosine over the root of the rows' reliabilities
    cos(g^A, g^B) is corrected for both. NaN with one row, or where a reliability is below 0.05 and the answer
    would be made of noise.
    """
    if len(first) < 2 or float(min(first.norm(dim=1).min(), second.norm(dim=1).min())) == 0.0:
        return float("nan")
    one, two = nn.functional.normalize(first, dim=1), nn.functional.normalize(second, dim=1)
    reliability = (one * two).sum(dim=1)[:2]
    if float(reliability.min()) < MINIMUM_RELIABILITY:
        return float("nan")
    across = 0.5 * (one[0] @ two[1] + one[1] @ two[0])
    return float(across / torch.sqrt(reliability[0] * reliability[1]))


def _gradient(loss: Tensor, parameters: Sequence[nn.Parameter], *, keep: bool) -> Tensor:
    """Return `[n]`; zero where a parameter does not enter the loss."""
    found = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
    return torch.cat([part.reshape(-1) for part in parts])


def _measure(jacobian: Tensor, direction: Tensor) -> ConflictMetrics:
    norms = jacobian.norm(dim=1)
    primary, others = jacobian[0], jacobian[1:]
    nan = float("nan")
    size = float(direction.norm() * norms[0])
    progress = float(primary @ direction) / size if size > 0 else nan
    if len(others) == 0 or float(norms.min()) == 0.0:
        return ConflictMetrics(nan, nan, nan, nan, progress)
    cosine = others @ primary / (norms[1:] * norms[0])
    return ConflictMetrics(
        float(cosine.mean()),
        float((cosine < 0).float().mean()),
        float((norms[1:] / norms[0]).mean()),
        float(torch.clamp(-cosine, min=0.0).mean()),
        progress,
    )
