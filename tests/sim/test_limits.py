"""The risk layer: what it promises of every projection, and its rules on price paths made for them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from mtquant.config.agents import EnvironmentSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.evaluation.backtest import backtest
from mtquant.sim.limits import Limits, build_limits, correlation_exposure, project, value_at_risk
from mtquant.sim.simulator import Episode, MarketSim
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

GROUPS = (0, 0, 0, 1, 1, 2, 2, 2)
HOUR = 3_600_000_000_000


def random_correlation(rng: np.random.Generator, k: int, common: float) -> np.ndarray:
    loads = rng.standard_normal((k, 2)) * common
    covariance = loads @ loads.T + np.eye(k)
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


@st.composite
def problems(draw) -> tuple[np.ndarray, np.ndarray, Limits]:
    rng = Streams(draw(st.integers(0, 100_000))).rng("limits")
    k = draw(st.sampled_from([1, 2, 4, 8]))
    spec = LimitsSpec(
        max_portfolio_var=draw(st.sampled_from([0.005, 0.02, 0.5])),
        max_correlation_exposure=draw(st.sampled_from([0.05, 0.3, 0.7])),
        max_sector_allocation=draw(st.sampled_from([0.1, 0.4])),
        max_position_size=draw(st.sampled_from([0.05, 0.1])),
    )
    limits = build_limits(spec, random_correlation(rng, k, draw(st.floats(0, 3))), GROUPS[:k], 0.10, joint=True)
    x = draw(st.floats(0.01, 20.0)) * rng.standard_normal((30, k))
    x[rng.random((30, k)) < 0.2] = 0.0
    x[0] = 0.0
    factor = np.ones_like(x) if draw(st.booleans()) else rng.uniform(0.1, 10.0, x.shape)
    return x, factor, limits


def slow_correlation_exposure(x: np.ndarray, rho: np.ndarray) -> float:
    total = weight = 0.0
    for i, j in permutations(range(len(x)), 2):
        total += abs(x[i] * x[j]) * max(0.0, np.sign(x[i] * x[j]) * rho[i, j])
        weight += abs(x[i] * x[j])
    return total / weight if weight > 0 else 0.0


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_every_limit_holds_after_projection(problem):
    x, factor, limits = problem
    allowed = project(x, factor, limits, np)
    assert (np.abs(allowed) * factor <= limits.position_cap * (1 + 1e-12)).all()
    assert (value_at_risk(allowed, limits, np) <= limits.max_value_at_risk * (1 + 1e-12)).all()
    if x.shape[1] > 1:
        assert ((np.abs(allowed) * factor) @ limits.membership <= limits.sector_cap * (1 + 1e-12)).all()
        assert (correlation_exposure(allowed, limits, np) <= limits.max_correlation_exposure * (1 + 1e-9)).all()


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_projection_only_shrinks_and_projecting_twice_changes_nothing(problem):
    x, factor, limits = problem
    allowed = project(x, factor, limits, np)
    assert (np.abs(allowed) <= np.abs(x) * (1 + 1e-15)).all()
    assert (allowed * x >= 0.0).all()
    assert (allowed[x == 0.0] == 0.0).all()
    np.testing.assert_allclose(project(allowed, factor, limits, np), allowed, rtol=1e-9, atol=1e-14)
    one_by_one = np.concatenate([project(x[i : i + 1], factor[i : i + 1], limits, np) for i in range(len(x))])
    np.testing.assert_array_equal(one_by_one, allowed)


@settings(max_examples=50, deadline=None)
@given(problem=problems(), share=st.floats(0.0, 0.9))
def test_what_is_well_within_the_limits_is_untouched(problem, share):
    x, factor, limits = problem
    inside = share * project(x, factor, limits, np)
    # scaling down keeps the correlation exposure, so rows at that limit are left out
    free = correlation_exposure(inside, limits, np) < limits.max_correlation_exposure * (1 - 1e-9)
    np.testing.assert_array_equal(project(inside, factor, limits, np)[free], inside[free])


@settings(max_examples=100, deadline=None)
@given(problem=problems())
def test_correlation_exposure_and_value_at_risk_are_their_definitions(problem):
    x, _, limits = problem
    expected = [slow_correlation_exposure(row, limits.correlation) for row in x]
    np.testing.assert_allclose(correlation_exposure(x, limits, np), expected, rtol=1e-9, atol=1e-12)
    deviation = np.sqrt(np.einsum("nk,kl,nl->n", x, limits.correlation, x)) * 0.10 / np.sqrt(260)
    np.testing.assert_allclose(value_at_risk(x, limits, np), norm.ppf(0.95) * deviation, rtol=1e-9, atol=1e-15)


def test_the_smaller_leg_of_the_worst_pair_pays():
    rho = np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]])
    limits = build_limits(LimitsSpec(max_portfolio_var=1.0), rho, (0, 1, 2), 0.10, joint=True)
    x = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, -0.1], [1.0, -0.8, 0.1]])
    allowed = project(x, np.ones_like(x), limits, np)
    assert allowed[0, 0] == 1.0
    assert allowed[0, 1] < 0.8
    assert allowed[1, 0] < 0.8
    assert allowed[1, 1] == 1.0
    np.testing.assert_array_equal(allowed[2], x[2], err_msg="a hedge is not concentration")
    assert correlation_exposure(allowed[:1], limits, np)[0] == pytest.approx(0.7)


def test_each_reading_of_the_caps():
    risk = build_limits(LimitsSpec(), np.eye(4), (0, 0, 1, 2), 0.10, joint=True)
    literal = build_limits(LimitsSpec(reading="literal"), np.eye(4), (0, 0, 1, 2), 0.10, joint=True)
    assert (risk.position_cap, risk.sector_cap) == (1.5, 4.0)
    assert (literal.position_cap, literal.sector_cap) == (0.1, 0.4)


@pytest.mark.parametrize("slots", [1, 4])
def test_literal_caps_count_notional(slots):
    dataset = tiny_dataset()
    spec = tiny_spec(limits=LimitsSpec(reading="literal", max_position_size=0.3, stop_loss="off"))
    sim = MarketSim(dataset, spec, rows=8, slots=slots)
    chosen = np.tile(np.arange(4), (8, 1)) if slots == 4 else (np.arange(8) % 4)[:, None]
    sim.reset(np.ones(8, bool), Episode(np.full(8, 20), np.full(8, 90), chosen, np.ones(8), np.ones(8)))
    rng = Streams(0).rng("x")
    worth = np.array([spec.catalogue.instruments[s].contract_value for s in SYMBOLS])
    largest = 0.0
    for _ in range(60):
        t, equity = sim.state.t, sim.state.equity
        sim.step(rng.uniform(-3, 3, (8, slots)))
        price = dataset.market.close[t[:, None], sim.state.slots] * worth[sim.state.slots]
        share = np.abs(sim.state.units * price) / equity[:, None]
        assert (share <= 0.3 * (1 + 1e-9)).all()
        if slots == 4:
            assert (share @ sim.limits.membership <= 0.4 * (1 + 1e-9)).all()
        largest = max(largest, float(share.max()))
    assert largest == pytest.approx(0.3), "the cap must bind, on the notional of the contract"


def path_dataset(closes: list[float], tradable: list[bool] | None = None) -> Dataset:
    """Return hourly bars of one instrument in four columns, each opening at the close before."""
    close = np.repeat(np.array(closes)[:, None], 4, axis=1)
    opened = np.concatenate([close[:1], close[:-1]])
    ohlcv = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close, close * 0 + 1], axis=-1)
    bars = len(closes)
    open_ = np.repeat(np.array(tradable or [True] * bars)[:, None], 4, axis=1)
    market = Market(SYMBOLS, np.arange(bars) * HOUR, ohlcv, open_, np.zeros(bars, int), "H1", 260.0)
    whole = Split("train", ((0, bars),))
    return Dataset(
        market,
        Splits(whole, whole, whole),
        np.zeros((bars, 4, 2), np.float32),
        ("a", "b"),
        (0,),
        np.zeros(2),
        np.ones(2),
        np.full((bars, 4), 1.0),
        np.eye(4),
        np.zeros((bars, 5), np.float32),
        tuple("abcde"),
        False,
    )


def walk(closes: list[float], limits: LimitsSpec, target: float = 1.0, tradable: list[bool] | None = None):
    """Hold `target` in one instrument with zero costs; return exposures, breakers and stops per bar."""
    environment = EnvironmentSpec(instruments=SYMBOLS, costs="zero", warmup_steps=0)
    spec = tiny_spec(environment=environment, limits=limits)
    dataset = path_dataset(closes, tradable)
    sim = MarketSim(dataset, spec, rows=1, slots=1)
    last = len(closes) - 1
    episode = Episode(np.zeros(1, int), np.array([last]), np.zeros((1, 1), int), np.ones(1), np.ones(1))
    sim.reset(np.ones(1, bool), episode)
    results = [sim.step(np.array([[target]])) for _ in range(last)]
    exposures = [float(r.exposure[0, 0]) for r in results]
    return exposures, [int(r.breaker[0]) for r in results], [int(r.stops[0]) for r in results]


def moves(*percent: float) -> list[float]:
    """Return closes of an instrument whose exposure 1 earns `percent` of equity in each bar, from a close of 1000.

    One point moves equity by u0 = 0.10/sqrt(260) at exposure 1, before equity itself changes.
    """
    unit = 0.10 / np.sqrt(260.0)
    return [1000.0, *(1000.0 + np.cumsum(percent) / 100.0 / unit)]


def test_circuit_breakers_act_by_the_loss_of_the_day_and_end_with_it():
    # the second bar loses 6 %, the fourth 5 % more at half size twice, then the day recovers, then the next begins
    losses = [0.0, -6.0, 0.0, -12.0, 0.0, -30.0, 0.0, 20.0, 20.0] + [0.0] * 15 + [0.0] * 4
    exposures, breakers, _ = walk(moves(*losses), LimitsSpec(stop_loss="off"))
    assert exposures[:2] == pytest.approx([1.0, 1.0])
    assert exposures[2:4] == pytest.approx([0.5, 0.5])
    assert exposures[4:6] == pytest.approx([0.25, 0.25])
    assert exposures[6:23] == pytest.approx([0.0] * 17), "the third breaker closes everything, whatever happens later"
    assert exposures[23:] == pytest.approx([1.0] * 5), "the next day begins with the bar that opens at midnight"
    assert breakers == [0, 0, 1, 1, 2, 2] + [3] * 17 + [0] * 5


def test_a_breaker_stays_although_the_day_recovers():
    exposures, breakers, _ = walk(moves(-6.0, 8.0, 8.0, 0.0, 0.0), LimitsSpec(stop_loss="off"))
    assert exposures == pytest.approx([1.0, 0.5, 0.5, 0.5, 0.5])
    assert breakers == [0, 1, 1, 1, 1]


def test_an_earlier_loss_of_another_day_does_not_count():
    bars = [-4.9] + [0.0] * 22 + [-4.9] + [0.0] * 5
    exposures, breakers, _ = walk(moves(*bars), LimitsSpec(stop_loss="off"))
    assert exposures == pytest.approx([1.0] * len(bars), rel=1e-9)
    assert set(breakers) == {0}


def test_stop_loss_on_equity_closes_the_position_for_its_cooldown():
    bars = [-0.5, -0.5, -1.1] + [0.0] * 9
    exposures, _, stops = walk(moves(*bars), LimitsSpec(stop_cooldown_bars=5))
    # the loss is known after the third bar; the bar of the stop and five more are flat
    assert exposures == pytest.approx([1.0] * 3 + [0.0] * 6 + [1.0] * 3)
    assert stops == [0, 0, 0, 1] + [0] * 8


def test_stop_loss_counts_from_the_opening_of_the_position():
    bars = [3.0, -1.5, -1.5, -1.5, 0.0, 0.0]
    exposures, _, stops = walk(moves(*bars), LimitsSpec())
    assert sum(stops) == 0, "profits made since the opening are lost first"
    assert exposures == pytest.approx([1.0] * 6)


def test_stop_loss_on_price_counts_the_move_against_the_entry():
    closes = [1000.0, 1000.0, 981.0, 979.0, 979.0, 979.0]
    for sign in (1.0, -1.0):
        path = closes if sign > 0 else [2000.0 - c for c in closes]
        limits = LimitsSpec(stop_loss="price", stop_cooldown_bars=0, breaker_losses=(0.9, 0.95, 0.99))
        exposures, _, stops = walk(path, limits, target=0.01 * sign)
        assert stops == [0, 0, 0, 1, 0]
        assert exposures[3] == 0.0
        assert exposures[2] == pytest.approx(0.01 * sign)


def test_no_stop_where_it_is_off():
    _, _, stops = walk(moves(-1.5, -1.5, -1.5, 0.0), LimitsSpec(stop_loss="off"))
    assert sum(stops) == 0


def test_a_closed_market_keeps_its_position_and_is_stopped_when_it_opens():
    closes = moves(-0.5, -2.0, 0.0, 0.0, 0.0, 0.0)
    tradable = [True, True, True, False, False, True, True]
    exposures, _, _ = walk(closes, LimitsSpec(stop_cooldown_bars=1), tradable=tradable)
    assert exposures[2] > 0.9
    assert exposures[3] > 0.9
    assert exposures[4] == 0.0


def test_switched_off_nothing_is_changed():
    exposures, breakers, stops = walk(moves(-6.0, -6.0, -6.0, 0.0), LimitsSpec(enabled=False), target=7.0)
    assert exposures == pytest.approx([7.0] * 4)
    assert sum(breakers) + sum(stops) == 0


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_value_at_risk_before_the_fact_is_never_above_its_limit(missing):
    dataset = tiny_dataset(2, missing=missing)
    game = PortfolioGame(dataset, tiny_spec())
    rng = Streams(0).rng("wild")
    result = backtest(game, dataset.splits.train, {AGENT: lambda seen: rng.uniform(-6, 6, (len(seen), 4))}, "wild")
    tradable = dataset.market.tradable[result.bar + 1].all(axis=-1) & result.alive
    assert tradable.any()
    assert (result.value_at_risk[tradable] <= 0.02 * (1 + 1e-9)).all()
    assert result.value_at_risk[tradable].max() == pytest.approx(0.02), "the limit must bind"
    assert (result.projection[tradable] > 0).mean() > 0.5
