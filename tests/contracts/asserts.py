"""Properties that hold for every entry of a registry, as functions."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mtquant.agents.learning.aggregators import Aggregator
from mtquant.envs.rewards import BarOutcome, RewardFn


def assert_flat_earns_nothing(reward: RewardFn) -> None:
    """A flat account is paid exactly 0, with any memory of its past, and keeps that memory."""
    zero = np.zeros(5)
    flat = BarOutcome(zero, zero, zero, np.zeros((5, 3)), zero)
    for size in (0.0, 0.3):
        memory = np.full((5, reward.memory), size)
        paid, after = reward(flat, memory)
        assert (paid == 0.0).all()
        np.testing.assert_array_equal(after, memory)


def assert_pure(reward: RewardFn, outcome: BarOutcome) -> None:
    """The same bar pays the same again; arguments stay as they are; rows do not know of each other."""
    memory = np.zeros((len(outcome.gross), reward.memory))
    kept = [np.array(part) for part in (*outcome, memory)]
    paid, after = reward(outcome, memory)
    again, after_again = reward(outcome, memory)
    np.testing.assert_array_equal(paid, again)
    np.testing.assert_array_equal(after, after_again)
    for part, before in zip((*outcome, memory), kept, strict=True):
        np.testing.assert_array_equal(part, before)
    assert paid.shape == outcome.gross.shape
    assert after.shape == memory.shape
    single, _ = reward(BarOutcome(*(part[2:3] for part in outcome)), memory[2:3])
    assert single[0] == paid[2]


def assert_finite_direction(aggregate: Aggregator, jacobian: Tensor) -> None:
    """The direction has the gradients' length and no NaN, and the gradients stay as they are."""
    before = jacobian.clone()
    direction = aggregate(jacobian)
    assert direction.shape == jacobian.shape[1:]
    assert bool(torch.isfinite(direction).all())
    assert torch.equal(jacobian, before)


def assert_agreement_passes(aggregate: Aggregator, gradient: Tensor, rows: int) -> None:
    """Objectives that agree entirely are followed."""
    direction = aggregate(gradient.repeat(rows, 1))
    cosine = torch.nn.functional.cosine_similarity(direction, gradient, dim=0)
    assert float(cosine) > 1.0 - 1e-4
    assert float(direction.norm()) > 0.0


def assert_no_row_is_harmed(aggregate: Aggregator, jacobian: Tensor) -> None:
    """No objective gets worse to first order, beyond what the solvers' regularisation (1e-4 of the Gramian) allows."""
    gains = jacobian @ aggregate(jacobian)
    assert float(gains.min()) >= -1e-3 * float(jacobian.norm() ** 2)


def assert_primary_is_kept(aggregate: Aggregator, jacobian: Tensor) -> None:
    """Row 0 progresses at least as much as on its own."""
    primary = jacobian[0]
    assert float(primary @ aggregate(jacobian)) >= float(primary @ primary) * (1.0 - 1e-5)


def assert_same_twice(make: Callable[[], np.ndarray]) -> None:
    """Two fresh starts give the same bits."""
    np.testing.assert_array_equal(make(), make())
