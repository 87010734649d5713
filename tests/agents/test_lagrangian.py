"""The PID-controlled multiplier: it rises while losses are too frequent, settles, and never is negative."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.agents.learning.lagrangian import PIDLagrangian
from mtquant.config.phases import TailSpec


@given(st.lists(st.floats(0.0, 1.0), max_size=60))
def test_the_multiplier_is_never_negative(rates):
    found = PIDLagrangian(TailSpec())
    assert all(found.update(rate) >= 0.0 for rate in rates)


def test_a_kept_budget_costs_nothing():
    found = PIDLagrangian(TailSpec(budget=0.05))
    assert [found.update(0.04) for _ in range(50)] == [0.0] * 50


@pytest.mark.parametrize("budget", [0.02, 0.05, 0.1])
def test_a_responding_agent_is_led_to_its_budget(budget):
    """A plant whose rate of large losses falls with the multiplier ends where the rate is the budget."""
    found = PIDLagrangian(TailSpec(budget=budget, integral_gain=0.2))
    rate = 0.3
    for _ in range(3000):
        rate += 0.1 * (0.3 / (1.0 + 5.0 * found.multiplier) - rate)
        found.update(rate)
    assert rate == pytest.approx(budget, abs=1e-3)
    assert found.multiplier == pytest.approx((0.3 / budget - 1.0) / 5.0, rel=0.05)


def test_a_sudden_rise_is_answered_at_once():
    calm, alarmed = (PIDLagrangian(TailSpec(derivative_gain=gain, delay=3)) for gain in (0.0, 10.0))
    for rate in (0.0, 0.0, 0.2):
        calm.update(rate)
        alarmed.update(rate)
    assert alarmed.multiplier > calm.multiplier + 1.0


def test_the_state_continues_exactly():
    whole, first = PIDLagrangian(TailSpec()), PIDLagrangian(TailSpec())
    rates = [0.01 * (i % 17) for i in range(40)]
    for rate in rates[:23]:
        whole.update(rate)
        first.update(rate)
    second = PIDLagrangian(TailSpec())
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for rate in rates[23:]:
        whole.update(rate)
        second.update(rate)
    assert second.multiplier == whole.multiplier
    assert second.state_dict() == whole.state_dict()
