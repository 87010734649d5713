"""A decision is filled at a price that was not seen when it was made."""

import numpy as np
import pytest

from mtquant.config.agents import EnvironmentSpec
from mtquant.context import Streams
from mtquant.sim.simulator import Episode, MarketSim
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

START = 20


def one_bar(fill: str, costs: str, target: float):
    environment = EnvironmentSpec(instruments=SYMBOLS, costs=costs, fill=fill, warmup_steps=10)
    dataset = tiny_dataset()
    sim = MarketSim(dataset, tiny_spec(environment=environment), rows=1, slots=1)
    slots = np.zeros((1, 1), int)
    sim.reset(np.ones(1, bool), Episode(np.array([START]), np.array([90]), slots, np.ones(1), np.ones(1)))
    return sim, dataset.market.ohlcv[START + 1, 0], sim.step(np.array([[target]]))


@pytest.mark.parametrize(("fill", "column"), [("next_open", 0), ("next_close", 3)])
def test_cash_is_paid_at_the_next_bar_s_price(fill, column):
    sim, bar, result = one_bar(fill, "zero", 0.5)
    units = float(sim.state.units[0, 0])
    paid = 100_000.0 - float(sim.state.cash[0])
    assert paid == pytest.approx(units * 2.0 * bar[column], rel=1e-12)
    assert float(result.gross[0, 0]) == pytest.approx(units * 2.0 * (bar[3] - bar[column]), abs=1e-6)


@pytest.mark.parametrize(("fill", "column"), [("next_open", 0), ("next_close", 3)])
def test_costs_are_a_share_of_what_was_traded_at_that_price(fill, column):
    sim, bar, result = one_bar(fill, "flat", -0.5)
    notional = abs(float(sim.state.units[0, 0])) * 2.0 * bar[column]
    assert float(result.cost[0, 0]) == pytest.approx(0.003 * notional, rel=1e-12)


def test_impact_is_quadratic_in_the_change_of_exposure():
    for target in (0.25, 0.5, -1.0):
        sim, _, result = one_bar("next_open", "planted", target)
        unit = 100_000.0 * sim.rules.unit_risk
        assert float(result.cost[0, 0]) == pytest.approx(0.5 * 0.8 * unit * target**2, rel=1e-9)


def test_financing_is_paid_per_night_by_side():
    dataset = tiny_dataset(hours=6)
    for sign, rate in ((1.0, 1.0e-4), (-1.0, 0.5e-4)):
        sim = MarketSim(dataset, tiny_spec(), rows=1, slots=1)
        slots = np.zeros((1, 1), int)
        sim.reset(np.ones(1, bool), Episode(np.array([START]), np.array([90]), slots, np.ones(1), np.ones(1)))
        sim.step(np.array([[0.5 * sign]]))
        for _ in range(12):
            t, units, held = int(sim.state.t[0]), float(sim.state.units[0, 0]), sim.exposure()
            result = sim.step(held)
            nights = (t + 1) // 4 - t // 4
            notional = abs(units) * 2.0 * dataset.market.close[t, 0]
            traded = abs(float(sim.state.units[0, 0]) - units) * 2.0 * dataset.market.ohlcv[t + 1, 0, 0]
            expected = rate * notional * nights + 2.0e-4 * traded
            assert float(result.cost[0, 0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_what_costs_are_scaled_by_and_moves_too():
    dataset = tiny_dataset()
    rng = Streams(0).rng("x")
    target = rng.uniform(-0.5, 0.5, (1, 4))
    results = []
    for cost_scale, move_scale in ((1.0, 1.0), (3.0, 1.0), (1.0, 2.0)):
        sim = MarketSim(dataset, tiny_spec(), rows=1, slots=4)
        begin = Episode(
            np.array([START]), np.array([90]), np.arange(4)[None], np.array([cost_scale]), np.array([move_scale])
        )
        sim.reset(np.ones(1, bool), begin)
        results.append(sim.step(target))
    plain, dear, wild = results
    np.testing.assert_allclose(dear.cost, 3.0 * plain.cost, rtol=1e-12)
    np.testing.assert_array_equal(dear.gross, plain.gross)
    np.testing.assert_allclose(wild.gross, 2.0 * plain.gross, rtol=1e-9)
