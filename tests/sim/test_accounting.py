"""The ledger: equity is cash plus positions, costs only cost, a flat account earns nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import EnvironmentSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.sim.simulator import Episode, MarketSim
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

ROWS = 5


def episode(slots: np.ndarray, start: int = 20, end: int = 150) -> Episode:
    rows = len(slots)
    return Episode(np.full(rows, start), np.full(rows, end), slots, np.ones(rows), np.ones(rows))


def started(sim: MarketSim, **ends: int) -> MarketSim:
    if sim.slots == 1:
        slots = np.arange(sim.rows)[:, None] % len(SYMBOLS)
    else:
        slots = np.tile(np.arange(len(SYMBOLS)), (sim.rows, 1))
    sim.reset(np.ones(sim.rows, dtype=bool), episode(slots, **ends))
    return sim


def walk(sim: MarketSim, actions: np.ndarray):
    for target in actions:
        before = sim.state
        yield before, sim.step(target)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.floats(0.0, 20.0),
    slots=st.sampled_from([1, 4]),
    costs=st.sampled_from(["zero", "realistic", "flat", "planted"]),
    enabled=st.booleans(),
    fill=st.sampled_from(["next_open", "next_close"]),
    missing=st.sampled_from([0.0, 0.3]),
)
def test_equity_is_cash_plus_positions(seed, size, slots, costs, enabled, fill, missing):
    dataset = tiny_dataset(seed, missing=missing, hours=6)
    environment = EnvironmentSpec(instruments=SYMBOLS, costs=costs, fill=fill, warmup_steps=10)
    spec = tiny_spec(environment=environment, limits=LimitsSpec(enabled=enabled))
    sim = started(MarketSim(dataset, spec, rows=ROWS, slots=slots))
    rng = Streams(seed).rng("actions")
    worth = np.array([spec.catalogue.instruments[s].contract_value for s in SYMBOLS])
    for before, result in walk(sim, size * rng.standard_normal((100, ROWS, slots))):
        state = sim.state
        price = dataset.market.close[state.t[:, None], state.slots]
        marked = state.cash + (state.units * price * worth[state.slots]).sum(axis=1)
        scale = np.abs(state.cash) + np.abs(state.units * price * worth[state.slots]).sum(axis=1)
        np.testing.assert_allclose(state.equity, marked, rtol=0, atol=1e-9 * scale.max())
        change = (result.gross - result.cost).sum(axis=1)
        np.testing.assert_allclose(state.equity - before.equity, change, rtol=0, atol=1e-9 * scale.max())
        closed = ~dataset.market.tradable[state.t[:, None], state.slots]
        assert (state.units[closed] == before.units[closed]).all()
        assert (result.trade[closed] == 0).all()


@pytest.mark.parametrize("costs", ["realistic", "flat", "planted"])
def test_flat_account_earns_exactly_nothing(costs):
    spec = tiny_spec(environment=EnvironmentSpec(instruments=SYMBOLS, costs=costs, warmup_steps=10))
    sim = started(MarketSim(tiny_dataset(), spec, rows=ROWS, slots=4))
    for _, result in walk(sim, np.zeros((100, ROWS, 4))):
        assert (result.equity == spec.environment.initial_capital).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1.0, 5.0))
def test_higher_costs_never_leave_more_equity(seed, scale):
    dataset, spec = tiny_dataset(seed), tiny_spec(limits=LimitsSpec(enabled=False))
    actions = Streams(seed).rng("a").uniform(-1, 1, (100, 2, 4))
    sim = MarketSim(dataset, spec, rows=2, slots=4)
    slots = np.tile(np.arange(4), (2, 1))
    sim.reset(
        np.ones(2, dtype=bool), Episode(np.full(2, 20), np.full(2, 150), slots, np.array([1.0, scale]), np.ones(2))
    )
    for target in actions:
        # the same units are traded in both rows: exposures are relative to each row's equity
        target[1] = target[0] * sim.state.equity[0] / sim.state.equity[1]
        result = sim.step(target)
        assert result.cost.sum(axis=1)[1] >= result.cost.sum(axis=1)[0] - 1e-9
        assert result.equity[1] <= result.equity[0] + 1e-6


def test_short_earns_what_long_loses_without_costs():
    environment = EnvironmentSpec(instruments=SYMBOLS, costs="zero", warmup_steps=10)
    spec = tiny_spec(environment=environment, limits=LimitsSpec(enabled=False))
    sim = started(MarketSim(tiny_dataset(), spec, rows=2, slots=4))
    target = np.array([[0.5, 0.5, 0.5, 0.5], [-0.5, -0.5, -0.5, -0.5]])
    result = sim.step(target)
    np.testing.assert_allclose(result.gross[0], -result.gross[1], rtol=1e-12)


def test_exposure_has_the_promised_volatility():
    dataset = tiny_dataset(bars=4000)
    environment = EnvironmentSpec(instruments=SYMBOLS, costs="zero", warmup_steps=10)
    spec = tiny_spec(environment=environment, limits=LimitsSpec(enabled=False))
    sim = started(MarketSim(dataset, spec, rows=1, slots=1), end=1900)
    returns = [float(r.equity[0] / r.equity_before[0] - 1) for _, r in walk(sim, np.ones((1800, 1, 1)))]
    assert np.std(returns) * np.sqrt(260) == pytest.approx(0.10, rel=0.05)


def test_fill_is_the_next_open():
    dataset = tiny_dataset()
    environment = EnvironmentSpec(instruments=SYMBOLS, costs="zero", warmup_steps=10)
    sim = started(MarketSim(dataset, tiny_spec(environment=environment), rows=1, slots=1))
    result = sim.step(np.array([[0.5]]))
    bar = dataset.market.ohlcv[21, 0]
    assert float(result.gross[0, 0]) == pytest.approx(float(sim.state.units[0, 0]) * 2.0 * (bar[3] - bar[0]), rel=1e-12)
