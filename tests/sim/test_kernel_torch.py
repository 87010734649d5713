"""The same lines run on numpy and on torch and give the same numbers; N rows are N single rows."""

import array_api_compat.torch as torch_namespace
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import EnvironmentSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.sim.kernel import State, StepResult
from mtquant.sim.simulator import Episode, MarketSim
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

ROWS, BARS = 6, 60


def made(slots: int, enabled: bool, reading: str, stop: str, costs: str, missing: float):
    dataset = tiny_dataset(1, missing=missing, hours=6)
    environment = EnvironmentSpec(instruments=SYMBOLS, costs=costs, warmup_steps=10)
    limits = LimitsSpec(enabled=enabled, reading=reading, stop_loss=stop, breaker_losses=(0.005, 0.01, 0.02))
    return dataset, tiny_spec(environment=environment, limits=limits)


def episode(rows: int, slots: int, rng: np.random.Generator) -> Episode:
    chosen = rng.integers(0, 4, (rows, 1)) if slots == 1 else np.tile(np.arange(4), (rows, 1))
    start = rng.integers(10, 60, rows)
    return Episode(start, start + BARS, chosen, rng.uniform(0.5, 2.0, rows), rng.choice([1.0, 1.5], rows))


def arrays(record: State | StepResult) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in record._asdict().items()}


@settings(max_examples=25, deadline=None)
@given(
    slots=st.sampled_from([1, 4]),
    enabled=st.booleans(),
    reading=st.sampled_from(["risk_units", "literal"]),
    stop=st.sampled_from(["equity", "price", "off"]),
    costs=st.sampled_from(["realistic", "planted"]),
    missing=st.sampled_from([0.0, 0.3]),
    size=st.floats(0.1, 8.0),
    seed=st.integers(0, 1000),
)
def test_torch_gives_what_numpy_gives(slots, enabled, reading, stop, costs, missing, size, seed):
    dataset, spec = made(slots, enabled, reading, stop, costs, missing)
    rng = Streams(seed).rng("x")
    here = MarketSim(dataset, spec, rows=ROWS, slots=slots)
    there = MarketSim(dataset, spec, rows=ROWS, slots=slots, xp=torch_namespace)
    begin = episode(ROWS, slots, rng)
    for sim in (here, there):
        sim.reset(np.ones(ROWS, dtype=bool), begin)
    for _ in range(BARS):
        target = size * rng.standard_normal((ROWS, slots))
        mine, other = here.step(target), there.step(torch.from_numpy(target))
        assert isinstance(other.equity, torch.Tensor)
        for left, right in ((arrays(mine), arrays(other)), (arrays(here.state), arrays(there.state))):
            for name, expected in left.items():
                assert right[name].dtype == expected.dtype, name
                if slots == 1 and not enabled:
                    # no sum and no number divided by an array, which torch turns into a reciprocal and a product
                    np.testing.assert_array_equal(right[name], expected, err_msg=name)
                else:
                    scale = max(1.0, float(np.abs(expected).max()))
                    np.testing.assert_allclose(right[name], expected, rtol=1e-12, atol=1e-12 * scale, err_msg=name)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("reading", ["risk_units", "literal"])
def test_rows_do_not_know_of_each_other(slots, reading):
    dataset, spec = made(slots, True, reading, "equity", "realistic", 0.3)
    rng = Streams(3).rng("x")
    begin = episode(ROWS, slots, rng)
    targets = 4.0 * rng.standard_normal((BARS, ROWS, slots))
    together = MarketSim(dataset, spec, rows=ROWS, slots=slots)
    together.reset(np.ones(ROWS, dtype=bool), begin)
    alone = []
    for row in range(ROWS):
        sim = MarketSim(dataset, spec, rows=1, slots=slots)
        given = {name: value for name, value in vars(begin).items() if value is not None}
        sim.reset(np.ones(1, dtype=bool), Episode(**{name: value[row : row + 1] for name, value in given.items()}))
        alone.append(sim)
    for target in targets:
        whole = arrays(together.step(target)), arrays(together.state)
        for row, sim in enumerate(alone):
            single = arrays(sim.step(target[row : row + 1])), arrays(sim.state)
            for one, many in zip(single, whole, strict=True):
                for name, value in one.items():
                    np.testing.assert_array_equal(value[0], many[name][row], err_msg=name)


def test_restarting_some_rows_leaves_the_others_alone():
    dataset, spec = made(4, True, "risk_units", "equity", "realistic", 0.0)
    rng = Streams(5).rng("x")
    sim = MarketSim(dataset, spec, rows=ROWS, slots=4)
    sim.reset(np.ones(ROWS, dtype=bool), episode(ROWS, 4, rng))
    for _ in range(10):
        sim.step(rng.standard_normal((ROWS, 4)))
    before = {name: np.array(value) for name, value in sim.state_dict().items()}
    mask = np.array([True, False, True, False, False, False])
    sim.reset(mask, episode(2, 4, rng))
    for name, value in sim.state_dict().items():
        np.testing.assert_array_equal(value[~mask], before[name][~mask], err_msg=name)
    fresh = sim.state
    assert (fresh.equity[mask] == spec.environment.initial_capital).all()
    assert (fresh.units[mask] == 0).all()
    assert (fresh.cooldown[mask] == 0).all()


def test_state_record_continues_exactly():
    dataset, spec = made(4, True, "risk_units", "equity", "planted", 0.3)
    rng = Streams(6).rng("x")
    sim = MarketSim(dataset, spec, rows=ROWS, slots=4)
    sim.reset(np.ones(ROWS, dtype=bool), episode(ROWS, 4, rng))
    targets = 5.0 * rng.standard_normal((40, ROWS, 4))
    for target in targets[:20]:
        sim.step(target)
    kept = {name: value.copy() for name, value in sim.state_dict().items()}
    expected = [arrays(sim.step(target)) for target in targets[20:]]
    other = MarketSim(dataset, spec, rows=ROWS, slots=4)
    other.load_state_dict(kept)
    for target, found in zip(targets[20:], expected, strict=True):
        for name, value in arrays(other.step(target)).items():
            np.testing.assert_array_equal(value, found[name], err_msg=name)
