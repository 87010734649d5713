"""What deploys acts like the policy that was trained, normaliser and bounds inside."""

import numpy as np
import pytest
import torch

from mtquant.agents.bundle import InstrumentActor
from mtquant.agents.policy import Actor, FrozenNormaliser
from mtquant.context import Streams
from mtquant.envs.games.joint import META
from tests.agents.made import bundle_of, learning_spec
from tests.tiny import tiny_dataset


def observations(width: int, rows: int = 200) -> np.ndarray:
    return (3.0 * Streams(0).rng("seen").standard_normal((rows, width))).astype(np.float32)


@pytest.mark.parametrize("agent", [META, "forex"])
def test_actor_is_the_deterministic_prediction_of_sb3(agent):
    bundle = bundle_of(agent, tiny_dataset(), learning_spec(), size=1.0)
    seen = observations(bundle.layout.width)
    expected, _ = bundle.policy.predict(seen, deterministic=True)
    found = bundle.actor.act(seen)
    np.testing.assert_array_equal(found, expected)
    bounds = bundle.actions
    assert found.min() == bounds.low, "some actions must be cut"
    assert found.max() == bounds.high
    assert np.abs(found[np.abs(found) < bounds.high]).std() > 0.1, "and most must not"


def test_normaliser_is_inside_and_never_learns():
    bundle = bundle_of("forex", tiny_dataset(), learning_spec())
    normaliser = bundle.policy.features_extractor
    assert isinstance(normaliser, FrozenNormaliser)
    assert not list(normaliser.parameters())
    assert {"features_extractor.mean", "features_extractor.std"} <= set(bundle.policy.state_dict())
    seen = observations(bundle.layout.width)
    scaled = normaliser(torch.from_numpy(seen)).numpy()
    mean, std = normaliser.mean.numpy(), normaliser.std.numpy()
    np.testing.assert_allclose(scaled, np.clip((seen - mean) / std, -3.0, 3.0), rtol=1e-6)
    assert np.abs(scaled).max() == 3.0


def test_what_a_row_is_told_does_not_depend_on_its_neighbours():
    actor = bundle_of(META, tiny_dataset(), learning_spec()).actor
    seen = observations(36, 50)
    together = actor.act(seen)
    alone = np.concatenate([actor.act(row[None]) for row in seen])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_a_specialist_acts_on_each_instrument_of_a_row():
    bundle = bundle_of("forex", tiny_dataset(), learning_spec())
    width = bundle.layout.width
    act = bundle.act_fn()
    assert isinstance(act, InstrumentActor)
    seen = observations(2 * width, 9)
    said = act(seen)
    assert said.shape == (9, 2)
    for place in range(2):
        single = bundle.actor.act(seen[:, place * width : (place + 1) * width])
        np.testing.assert_allclose(said[:, [place]], single, rtol=1e-5, atol=1e-6)


def test_acting_leaves_no_gradients_and_changes_no_weight():
    bundle = bundle_of("forex", tiny_dataset(), learning_spec())
    before = bundle.digest
    Actor(bundle.policy).act(observations(bundle.layout.width))
    assert bundle.digest == before
    assert all(p.grad is None for p in bundle.policy.parameters())
