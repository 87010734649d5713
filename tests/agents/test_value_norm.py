"""Running moments of returns."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.agents.learning.state import capture_module, restore_module
from mtquant.agents.learning.value_norm import FLOOR, ValueNorm
from mtquant.context import Streams


def returns(seed: int, count: int, size: int = 50) -> list[torch.Tensor]:
    rng = Streams(seed).rng("returns")
    return [torch.from_numpy((5.0 + 3.0 * rng.standard_normal(size)).astype(np.float32)) for _ in range(count)]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12))
def test_with_a_long_memory_it_is_the_mean_and_deviation_of_everything(seed, count):
    norm, seen = ValueNorm(1.0 - 1e-9), returns(seed, count)
    for batch in seen:
        norm.update(batch)
    everything = torch.cat(seen).double()
    mean, deviation = norm.moments()
    assert mean == pytest.approx(float(everything.mean()), rel=1e-6)
    assert deviation == pytest.approx(float(everything.std(correction=0)), rel=1e-6)


def test_with_a_short_memory_it_follows():
    norm = ValueNorm(0.5)
    for batch in returns(0, 30):
        norm.update(batch)
    for batch in returns(1, 30):
        norm.update(batch - 100.0)
    assert norm.moments()[0] == pytest.approx(-95.0, abs=1.0)


@given(decay=st.floats(0.01, 0.99999))
def test_the_first_update_counts_whole(decay):
    norm, (batch,) = ValueNorm(decay), returns(0, 1)
    norm.update(batch)
    assert norm.moments()[0] == pytest.approx(float(batch.double().mean()), rel=1e-9)


def test_before_the_first_update_nothing_changes():
    (batch,) = returns(0, 1)
    assert torch.equal(ValueNorm(0.9).normalise(batch), batch)


def test_what_was_normalised_comes_back():
    norm, (batch, other) = ValueNorm(0.9), returns(0, 2)
    norm.update(batch)
    found = norm.normalise(batch)
    assert abs(float(found.mean())) < 1e-5
    assert float(found.std(correction=0)) == pytest.approx(1.0, rel=1e-5)
    torch.testing.assert_close(norm.restore(norm.normalise(other)), other)


def test_returns_that_do_not_vary_are_not_blown_up():
    norm = ValueNorm(0.9)
    norm.update(torch.full((10,), 7.0))
    assert norm.moments() == (pytest.approx(7.0), FLOOR**0.5)


def test_it_is_part_of_a_checkpoint():
    norm, again = ValueNorm(0.9), ValueNorm(0.9)
    norm.update(returns(0, 1)[0])
    restore_module("n", again, capture_module("n", norm))
    assert again.moments() == norm.moments()
