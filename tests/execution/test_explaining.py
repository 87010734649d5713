"""Explanations of decisions: complete, and right where the right answer is known."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import nn

from mtquant.agents.policy import Actor, build_policy, policy_arguments
from mtquant.envs.spaces import Normaliser
from mtquant.errors import UsageError
from mtquant.evaluation.explanation import Moved, by_block, moved, pool_moved
from mtquant.execution.explaining import _taken, integrated_gradients

WIDTH = 6
BLOCKS = (("returns", 2), ("position", 1), ("macro", 3))


def made_actor(seed: int, outputs: int, clip: float = 10.0) -> Actor:
    rng = np.random.default_rng(seed)
    normaliser = Normaliser(
        rng.standard_normal(WIDTH).astype(np.float32), rng.uniform(0.5, 2.0, WIDTH).astype(np.float32), clip
    )
    arguments = policy_arguments(
        normaliser, actor_hidden=(16, 16), critic_hidden=(4,), log_std_init=0.0, weight_decay=0.0
    )
    space = Box(-np.inf, np.inf, (WIDTH,), dtype=np.float32)
    policy = build_policy(space, Box(-1.0, 1.0, (outputs,), dtype=np.float32), 0.0, arguments)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in policy.parameters():
            parameter.copy_(1.5 * torch.randn_like(parameter) / max(parameter.shape) ** 0.5)
    return Actor(policy)


@pytest.mark.parametrize("outputs", [1, 4])
def test_attributions_add_up_to_what_they_explain(outputs):
    actor = made_actor(1, outputs)
    seen = 3.0 * np.random.default_rng(2).standard_normal((50, WIDTH)).astype(np.float32)
    attributions, change = integrated_gradients(actor)(seen)
    assert attributions.shape == (50, outputs, WIDTH)
    assert np.abs(attributions.sum(axis=2) - change).max() <= 1e-6
    with torch.no_grad():
        mean = actor.normaliser.mean[None]
        said = actor._said(torch.from_numpy(seen)) - actor._said(mean)
    assert change == pytest.approx(said.numpy(), abs=1e-4)
    assert np.abs(change).max() > 0.5


def test_of_a_linear_policy_they_are_weight_times_distance():
    actor = made_actor(3, 2)
    weight = torch.from_numpy(np.random.default_rng(4).standard_normal((2, WIDTH))).float()
    actor.body = nn.Identity()
    actor.head = nn.Linear(WIDTH, 2)
    with torch.no_grad():
        actor.head.weight.copy_(weight)
    seen = np.random.default_rng(5).standard_normal((20, WIDTH)).astype(np.float32)
    attributions, _ = integrated_gradients(actor)(seen)
    distance = (
        seen.astype(np.float64) - actor.normaliser.mean.double().numpy()
    ) / actor.normaliser.std.double().numpy()
    assert attributions == pytest.approx(weight.double().numpy()[None] * distance[:, None], abs=1e-6)


def test_what_is_clipped_moves_no_further():
    actor = made_actor(3, 1, clip=1.0)
    far = np.full((1, WIDTH), 1e6, dtype=np.float32)
    near, farther = (integrated_gradients(actor)(x)[0] for x in (far, 2.0 * far))
    assert near == pytest.approx(farther, abs=1e-12)


def test_explaining_leaves_the_policy_as_it_was():
    actor = made_actor(6, 1)
    before = [p.detach().clone() for p in actor.parameters()]
    integrated_gradients(actor)(np.ones((3, WIDTH), dtype=np.float32))
    assert all(torch.equal(a, b) and b.dtype == torch.float32 for a, b in zip(before, actor.parameters(), strict=True))
    assert all(p.grad is None for p in actor.parameters())


def test_blocks_share_all_movement():
    attributions = np.random.default_rng(7).standard_normal((9, 2, WIDTH))
    parts = by_block(attributions, BLOCKS)
    assert sum(parts.values()) == pytest.approx(attributions.sum(axis=2))
    assert parts["position"] == pytest.approx(attributions[:, :, 2])
    found = moved("forex", parts, attributions.sum(axis=2))
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.decisions == 18
    assert found.largest_gap < 1e-12
    with pytest.raises(ValueError, match="cannot split"):
        by_block(attributions, BLOCKS[:2])
    assert np.isnan(moved("x", by_block(0.0 * attributions, BLOCKS), np.zeros((9, 2))).shares["macro"])


def test_folds_are_weighted_by_their_decisions():
    a, b = Moved("m", {"x": 1.0, "y": 0.0}, 10, 1e-8), Moved("m", {"x": 0.0, "y": 1.0}, 30, 1e-7)
    (pooled,) = pool_moved([[a, Moved("only here", {"x": 1.0}, 5, 0.0)], [b]])
    assert pooled == Moved("m", {"x": 0.25, "y": 0.75}, 40, 1e-7)
    assert pool_moved([[], []]) == pool_moved([]) == ()


def test_decisions_are_evenly_spread_and_only_where_one_was_made():
    alive = np.ones((100, 2), dtype=bool)
    alive[50:, 1] = False
    taken = _taken(alive, 12, 5)
    assert len(taken) == 12
    assert (taken[:, 0] % 5 == 0).all()
    assert alive[taken[:, 0], taken[:, 1]].all()
    assert len(_taken(alive, 10_000, 1)) == alive.sum()


def test_without_captum_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("mtquant.execution.explaining.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mtquant\[explain\]'"):
        integrated_gradients(made_actor(1, 1))
