"""How several gradients of one policy become one update: rows of a Jacobian to a direction.

Row 0 is the portfolio's objective, further rows are auxiliary ones. The only file that imports torchjd.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torchjd import aggregation

from mtquant.registry import build


class Aggregator(Protocol):
    """`[m, n]` gradients, one per row, to one direction `[n]`."""

    def __call__(self, jacobian: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class PrimaryProjection:
    """g_0 + beta sum_k (g_k - min(0, <g_k, g_0>/|g_0|^2) g_0).

    The primary objective's first-order progress is never reduced: <g_0, d> >= |g_0|^2. Auxiliary
    gradients that oppose it are projected off it; others pass unchanged.
    """

    beta: float = 0.1

    def __call__(self, jacobian: Tensor, /) -> Tensor:
        primary, others = jacobian[0], jacobian[1:]
        length = primary @ primary
        if len(others) == 0 or float(length) == 0.0:
            return primary + self.beta * others.sum(dim=0)
        opposed = torch.clamp(others @ primary / length, max=0.0)
        return primary + self.beta * (others - opposed[:, None] * primary).sum(dim=0)


def _portfolio_only() -> Aggregator:
    return lambda jacobian: jacobian[0]


def _torchjd(name: str) -> Callable[..., Aggregator]:
    def construct(**parameters: Any) -> Aggregator:
        made: Aggregator = getattr(aggregation, name)(**parameters)
        return made

    return construct


def build_aggregator(choice: dict[str, Any]) -> Aggregator:
    """Return the aggregator that `choice["name"]` names. Raises `ConfigError` for an unknown name."""
    return build(AGGREGATORS, choice, "aggregator")


AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "portfolio_only": _portfolio_only,
    "primary_projection": PrimaryProjection,
    "sum": _torchjd("Sum"),
    "mean": _torchjd("Mean"),
    "upgrad": _torchjd("UPGrad"),
    "dualproj": _torchjd("DualProj"),
    "pcgrad": _torchjd("PCGrad"),
    "mgda": _torchjd("MGDA"),
    "imtl_g": _torchjd("IMTLG"),
    "aligned_mtl": _torchjd("AlignedMTL"),
    "config": _torchjd("ConFIG"),
}
