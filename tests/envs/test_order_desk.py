"""The execution desk: what each of the five agents can and cannot do, orders one after the other, exact state."""

import numpy as np
import pytest

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.envs.games.order_desk import DESK, OrderDesk
from mtquant.envs.games.order_engine import OrderEngine, create_execution_environment
from mtquant.envs.scenario import RowScenarios, Scenario
from mtquant.errors import UsageError

ROWS = 6
WORDS = {"position_sizing": -0.6, "stop_target": 1.0, "risk_monitor": 1.0, "portfolio_optimizer": 0.0}


def engine_of(steps: int = 40, seed: int = 0, rewards=None, **agents) -> OrderEngine:
    desk = OrderDesk(read_games({"execution": {"agents": agents, "rewards": rewards}}).execution, steps)
    return OrderEngine(desk, ROWS, Streams(seed).rng("orders"))


def say(engine: OrderEngine, routing=(0.0, 0.0, 0.0), **changes) -> dict[str, np.ndarray]:
    words = {agent: np.full((ROWS, 1), word) for agent, word in (WORDS | changes).items()}
    return words | {"routing": np.tile(np.asarray(routing, dtype=float), (ROWS, 1))}


def sold(engine: OrderEngine, **changes) -> np.ndarray:
    """Shares sold in the first step, of every order."""
    engine.begin(stagger=False)
    size = engine.orders.size
    return -engine.play(say(engine, **changes)).result.trade[:, 0] / size


def test_an_episode_is_several_orders_each_sold_to_the_end():
    engine = engine_of(60)
    engine.begin(stagger=False)
    sizes = engine.memory["sizes"].copy()
    assert sizes.shape == (ROWS, 3) and len(np.unique(sizes)) > 3
    assert ((sizes * 10_000) % 100 == pytest.approx(0.0, abs=1e-6)) and sizes.min() >= 0.01 and sizes.max() <= 1.0
    total = np.zeros((ROWS, 3))
    for step in range(60):
        outcome = engine.play(say(engine))
        total[:, step // 20] -= outcome.result.trade[:, 0]
        assert outcome.done.all() == (step == 59)
    np.testing.assert_allclose(total, sizes)


def test_size_urgency_stop_and_monitor_each_do_what_they_are_for():
    base = sold(engine_of())
    np.testing.assert_allclose(base, 0.2)
    np.testing.assert_allclose(sold(engine_of(), portfolio_optimizer=1.0), 0.26)
    np.testing.assert_allclose(sold(engine_of(), portfolio_optimizer=-1.0), 0.14)
    assert (sold(engine_of(), stop_target=-1.0) <= base).all() and (sold(engine_of(), stop_target=-1.0) < base).any()
    np.testing.assert_allclose(sold(engine_of(), risk_monitor=-1.0), 1.0)
    np.testing.assert_allclose(sold(engine_of(), position_sizing=1.0, stop_target=-1.0, risk_monitor=-1.0), 1.0)
    np.testing.assert_allclose(sold(engine_of(), position_sizing=-1.0), 0.0)


def test_the_stop_cuts_a_slice_at_its_impact():
    engine = engine_of()
    engine.begin(stagger=False)
    orders, desk = engine.orders, engine.game
    share, _ = desk.decode(orders, say(engine, position_sizing=1.0, stop_target=0.0))
    joint = 1.0 / (1.0 / orders.impact).sum(axis=1)
    impact = joint * share * orders.left / desk.params.tau
    assert (impact <= 0.001 * 25.0 + 1e-12).all() and impact.max() == pytest.approx(0.025)


def test_routing_splits_as_asked_and_proportionally_if_so_configured():
    engine = engine_of()
    engine.begin(stagger=False)
    _, split = engine.game.decode(engine.orders, say(engine, routing=(1.0, 0.0, -1.0)))
    np.testing.assert_allclose(np.log(split[:, 0] / split[:, 1]), 3.0)
    np.testing.assert_allclose(split.sum(axis=1), 1.0)
    other = engine_of(routing={"venue_selection_algorithm": "proportional"})
    other.begin(stagger=False)
    orders = other.orders
    _, split = other.game.decode(orders, say(other))
    np.testing.assert_allclose(split * orders.impact * (1 / orders.impact).sum(axis=1)[:, None], 1.0)


def test_bonuses_are_paid_for_shares_and_sum_to_the_documented_ones():
    engine = engine_of(20)
    engine.begin(stagger=False)
    total = {name: np.zeros(ROWS) for name in engine.game.parts}
    for _ in range(20):
        orders = engine.orders
        best = engine.game.best_split(0.2 * orders.left, orders.impact)
        logits = np.log(np.maximum(best, 1e-9))
        logits = np.clip((logits - logits.max(axis=1, keepdims=True)) / 3.0 + 1.0, -1.0, 1.0)
        engine.play(say(engine) | {"routing": logits})
        for name, values in engine.parts().items():
            total[name] += values
    assert (total["venue"] <= 0.1 + 1e-12).all() and (total["venue"] > 0.099).all()
    assert (total["speed"] < 0.2).all() and (total["speed"] > 0.1).all(), "two of three venues are fast"
    assert (total["impact"] < 0.0).all() and (total["shortfall"] < 0.0).all()


@pytest.mark.parametrize("noise", [False, True])
def test_equity_falls_by_what_execution_costs_and_by_the_luck_of_prices(noise):
    engine = engine_of(40, rewards={"price_noise": noise})
    engine.begin(stagger=False)
    start, paid, luck = engine.memory["equity"].copy(), np.zeros(ROWS), np.zeros(ROWS)
    for _ in range(40):
        unit = engine.orders.twap
        outcome = engine.play(say(engine))
        held = 500.0 * 0.02**2 * 0.05 * outcome.result.exposure[:, 0] ** 2
        paid += -engine.parts()["shortfall"] * unit - held
        luck -= outcome.result.gross[:, 0]
    np.testing.assert_allclose(start - engine.memory["equity"], paid + (0.0 if noise else luck), atol=1e-12)


def test_who_is_silent_keeps_to_what_it_said():
    one, two = engine_of(), engine_of()
    for engine in (one, two):
        engine.begin(stagger=False)
        engine.play(say(engine, routing=(0.5, -0.5, 0.0)))
    one.play({})
    two.play(say(two, routing=(0.5, -0.5, 0.0)))
    for name, array in one.state_dict()[0].items():
        np.testing.assert_array_equal(array, two.state_dict()[0][name], err_msg=name)


def test_a_restored_batch_continues_exactly():
    engine, other = engine_of(), engine_of(seed=7)
    rng = Streams(1).rng("actions")

    def words() -> dict[str, np.ndarray]:
        return {a: engine.game.actions(a).sample(rng, ROWS) for a in DESK}

    engine.begin(stagger=True)
    for _ in range(15):
        engine.restart(engine.play(words()).done)
    other.load_state_dict(*engine.state_dict())
    for _ in range(60):
        said = words()
        one, two = engine.play(said), other.play(said)
        np.testing.assert_array_equal(one.rewards["routing"], two.rewards["routing"])
        engine.restart(one.done)
        other.restart(two.done)
        np.testing.assert_array_equal(engine.observe("routing"), other.observe("routing"))
        np.testing.assert_array_equal(engine.state(), other.state())


def test_staggered_rows_end_apart_and_scenarios_change_the_market():
    engine = engine_of(200)
    engine.begin(stagger=True)
    ends = engine.memory["end"]
    assert (ends % 20 == 0).all() and len(np.unique(ends)) > 1
    plain, hard = engine_of(40), engine_of(40)
    hard.curriculum = RowScenarios([Scenario(cost_scale=2.0, volatility_scale=3.0, episode_scale=0.5)] * hard.rows)
    for each in (plain, hard):
        each.begin(stagger=False)
    np.testing.assert_allclose(hard.orders.impact, 2.0 * plain.orders.impact)
    np.testing.assert_allclose(hard.memory["shocks"], 3.0 * plain.memory["shocks"])
    assert (hard.memory["end"] == 20).all()


def test_methods_for_people():
    env = create_execution_environment({"execution": {"environment": {"depth_variation": 0.0}}})
    env.reset(seed=0)
    assert env.get_execution_venues() == ["venue_a", "venue_b", "venue_c"]
    assert env.get_venue_latency("venue_c") == 0.004
    small, large = (env.get_market_impact_estimate(size) for size in (100.0, 10_000.0))
    # 1 / (50 + 30 + 20) per share and time, a twentieth of it a step, and half of the lasting impact
    assert large == pytest.approx(0.2 + 0.0025, rel=0.01) and 0.0 < small < large / 50
    with pytest.raises(UsageError, match=r"`venue_x`.*venue_a"):
        env.get_venue_latency("venue_x")
    with pytest.raises(UsageError, match="positive"):
        env.get_market_impact_estimate(0.0)


def test_one_venue_and_orders_shorter_than_asked():
    desk = OrderDesk(read_games({"execution": {"environment": {"execution_venues": ["venue_b"]}}}).execution, 3)
    engine = OrderEngine(desk, ROWS, Streams(0).rng("orders"))
    engine.begin(stagger=False)
    words = {agent: np.zeros((ROWS, 1)) for agent in DESK}
    done = [bool(engine.play(words).done.all()) for _ in range(3)]
    assert done == [False, False, True] and engine.observe("routing").shape == (ROWS, 11)
