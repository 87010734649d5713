"""Complete learner state and coordinated gradients."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from mtquant.agents.learning.aggregators import build_aggregator
from mtquant.agents.learning.gradient_coordination import GradientCoordinationSystem
from mtquant.agents.learning.state import (
    capture_module,
    capture_optimizer,
    capture_rng,
    restore_module,
    restore_optimizer,
    restore_rng,
    seed_everything,
)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def learn(module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (module(torch.randn(5, 3)) - 1.0).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_captured_state_continues_learning_to_the_last_bit(kind):
    seed_everything(1)
    module = network()
    optimizer = kind(module.parameters(), lr=0.05, weight_decay=0.1)
    learn(module, optimizer, 7)
    arrays, values = capture_optimizer("o", optimizer)
    arrays |= capture_module("m", module)
    rng_arrays, rng_values = capture_rng()
    values = json.loads(json.dumps(values | rng_values))
    learn(module, optimizer, 9)
    expected = capture_module("m", module)

    seed_everything(2)
    other = network()
    fresh = kind(other.parameters(), lr=0.9)
    restore_module("m", other, arrays)
    restore_optimizer("o", fresh, arrays, values)
    restore_rng(rng_arrays, values)
    learn(other, fresh, 9)
    for name, array in capture_module("m", other).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_captured_arrays_do_not_change_with_the_learner():
    module = network()
    optimizer = torch.optim.AdamW(module.parameters())
    learn(module, optimizer, 1)
    arrays = capture_module("m", module) | capture_optimizer("o", optimizer)[0] | capture_rng()[0]
    kept = {name: array.copy() for name, array in arrays.items()}
    learn(module, optimizer, 2)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)


def test_all_three_global_generators_continue():
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.standard_normal()), float(torch.randn(1))  # noqa: NPY002, TID251

    seed_everything(5)
    draw()
    arrays, values = capture_rng()
    expected = [draw() for _ in range(3)]
    seed_everything(6)
    restore_rng(arrays, json.loads(json.dumps(values)))
    assert [draw() for _ in range(3)] == expected


def objectives(parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    flat = torch.cat([p.reshape(-1) for p in parameters])
    weights = torch.arange(1.0, len(flat) + 1)
    return [(flat * weights).sum() + flat.square().sum(), -(flat * weights.flip(0)).sum()]


def test_the_aggregated_direction_becomes_the_gradient():
    parameters = list(network().parameters())
    system = GradientCoordinationSystem(build_aggregator({"name": "sum"}))
    metrics = system.coordinate_updates(objectives(parameters), parameters)
    found = [p.grad.clone() for p in parameters]
    expected = torch.autograd.grad(sum(objectives(parameters)), parameters)
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted)
    first, second = (
        torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)]) for loss in objectives(parameters)
    )
    assert metrics.cosine == pytest.approx(float(torch.nn.functional.cosine_similarity(first, second, dim=0)), rel=1e-4)
    assert metrics.conflict == 1.0
    assert metrics.norm_ratio == pytest.approx(float(second.norm() / first.norm()), rel=1e-5)


def test_one_objective_has_no_conflict_to_measure():
    parameters = list(network().parameters())
    metrics = GradientCoordinationSystem(build_aggregator({"name": "portfolio_only"})).coordinate_updates(
        objectives(parameters)[:1], parameters
    )
    assert np.isnan(metrics.cosine)
    assert np.isnan(metrics.conflict)
    assert metrics.primary_progress == pytest.approx(1.0)


def test_gradients_are_clipped_to_a_joint_norm():
    parameters = list(network().parameters())
    system = GradientCoordinationSystem(build_aggregator({"name": "portfolio_only"}))
    system.coordinate_updates(objectives(parameters), parameters)
    before = system.gradient_clipping(parameters, 0.5)
    after = torch.cat([p.grad.reshape(-1) for p in parameters]).norm()
    assert before > 0.5
    assert float(after) == pytest.approx(0.5, rel=1e-4)
    assert system.gradient_clipping(parameters, 10.0) == pytest.approx(0.5, rel=1e-4)


def test_step_sizes_follow_the_divergence_within_their_range():
    system = GradientCoordinationSystem(build_aggregator({"name": "sum"}), target_kl=0.01)
    assert system.adaptive_learning_rates({"forex": 0.05, "equity": 0.001, "meta": 0.01}) == pytest.approx(
        {"forex": 1 / 1.5, "equity": 1.0, "meta": 1.0}
    )
    for _ in range(50):
        rates = system.adaptive_learning_rates({"forex": 0.05})
    assert rates["forex"] == 0.01
    for _ in range(50):
        rates = system.adaptive_learning_rates({"forex": 0.0})
    assert rates["forex"] == 1.0
