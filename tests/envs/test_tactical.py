"""The tactical game: turns, hearing, tolerance of a faulty agent, fills, gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.data.patterns import fair_value_gaps
from mtquant.envs.games.tactical import TACTICIANS, TacticalGame, create_tactical_environment, parallel_env
from mtquant.envs.ground import Ground
from tests.envs.made import SMALL, engine_of
from tests.tiny import tiny_dataset, tiny_spec

VOTES = st.lists(st.integers(-1, 1), min_size=3, max_size=3)


def tiny_game(**environment) -> TacticalGame:
    config = {"tactical_marl": {"environment": {"matrix_shape": [8, 7], **environment}}}
    return TacticalGame(Ground(tiny_dataset(), tiny_spec()), read_games(config).tactical_marl, 60)


def test_agents_speak_in_the_order_of_the_state_machine():
    env = create_tactical_environment()
    env.reset(seed=0)
    for _ in range(3):
        for agent, status in zip(TACTICIANS, ("AWAITING_FVG", "AWAITING_MOMENTUM", "AWAITING_ENTRY_OPT"), strict=True):
            assert (env.agent_selection, env.get_state_machine_status()) == (agent, status)
            env.step(2)
    assert env.infos["fvg_agent"]["reward_parts"]["coordination"] == pytest.approx(0.1)


def test_in_a_batch_the_team_is_ready_between_words_and_bar_and_order_is_what_pays():
    engine = engine_of(tiny_game(), 2)
    engine.begin(stagger=False)
    for agent in TACTICIANS:
        engine.say(agent, np.ones((2, 1)))
    assert engine.game.status(engine.table) == "READY_FOR_AGGREGATION"
    engine.advance()
    assert engine.game.status(engine.table) == "AWAITING_FVG"
    np.testing.assert_array_equal(engine.parts()["coordination"], 0.1)
    for order in ((2, 1, 0), (0, 1)):
        for index in order:
            engine.say(TACTICIANS[index], np.ones((2, 1)))
        engine.advance()
        np.testing.assert_array_equal(engine.parts()["coordination"], 0.0)


def test_later_agents_hear_earlier_ones_and_only_those():
    env = create_tactical_environment()
    env.reset(seed=3)
    for word in (0, 1, 2):
        before = env.observe("entry_opt_agent")
        env.step(word)
        assert env.observe("momentum_agent")[-1, 0] == env.observe("entry_opt_agent")[-1, 0] == word - 1.0
        env.step(2)
        heard = env.observe("entry_opt_agent")
        assert (heard[-1, 0], heard[-1, 3]) == (word - 1.0, 1.0)
        assert not env.observe("fvg_agent")[:, 3:].any()
        assert not heard[:-1, :5].any() and not before[:, :5].any()
        env.step(1)


def test_nobody_hears_where_all_choose_at_once_or_the_state_machine_is_off():
    together = parallel_env()
    seen, _ = together.reset(seed=3)
    assert not seen["entry_opt_agent"][:, :5].any()
    deaf = create_tactical_environment({"tactical_marl": {"environment": {"state_machine": False}}})
    deaf.reset(seed=3)
    deaf.step(2)
    assert not deaf.observe("momentum_agent")[:, :3].any()


@given(VOTES, st.integers(0, 2), st.floats(-1, 1))
def test_one_faulty_agent_cannot_move_the_decision_beyond_the_others(votes, faulty, said):
    honest = [v for i, v in enumerate(votes) if i != faulty]
    corrupted = np.array(votes, dtype=float)
    corrupted[faulty] = said
    decision = GAME.aggregate(corrupted[None])[0]
    assert min(honest) <= decision <= max(honest)


GAME = TacticalGame(Ground(tiny_dataset(), tiny_spec()), SMALL.tactical_marl, 60)


def test_without_tolerance_votes_are_averaged():
    plain = tiny_game(byzantine_tolerance=False)
    votes = np.array([[1.0, 1.0, -1.0]])
    assert plain.aggregate(votes)[0] == pytest.approx(1 / 3)
    assert GAME.aggregate(votes)[0] == 1.0


def test_fills_are_judged_by_their_bar():
    engine = engine_of(GAME, 4)
    engine.begin(stagger=False)
    rng = Streams(0).rng("words")
    market, last = GAME.dataset.market, np.zeros(4)
    for _ in range(20):
        t, slot = engine.sim.state.t.copy(), engine.sim.state.slots[:, 0].copy()
        outcome = engine.play({agent: rng.integers(0, 3, (4, 1)) for agent in TACTICIANS})
        bar = market.ohlcv[t + 1, slot]
        trade, exposure = outcome.result.trade[:, 0], outcome.result.exposure[:, 0]
        best = np.where(trade > 0, bar[:, 2], bar[:, 1])
        worst = np.where(trade > 0, bar[:, 1], bar[:, 2])
        wide = np.abs(best - worst)
        quality = np.where(wide > 0, 1 - 2 * np.abs(bar[:, 0] - best) / np.where(wide > 0, wide, 1), 0.0)
        quality = np.where(np.abs(trade) > 0.01, quality, 0.0)
        parts = engine.parts()
        np.testing.assert_allclose(parts["execution_quality"], 0.1 * quality * np.abs(trade), atol=1e-9)
        opened = (np.abs(trade) > 0.01) & (np.abs(exposure) > 0.01) & (np.sign(exposure) != np.sign(exposure - trade))
        np.testing.assert_allclose(parts["timing"], 0.15 * quality * np.abs(trade) * opened, atol=1e-9)
        assert (parts["slippage"] <= 0.0).all()
        last = exposure
        if outcome.done.any():
            break
    assert last.any()


def test_execution_metrics_count_trades():
    env = create_tactical_environment(max_cycles=30)
    env.reset(seed=5)
    assert env.get_execution_metrics()["trades"] == 0.0
    for word in (2, 2, 0, 0, 1):
        for _ in TACTICIANS:
            env.step(word)
    found = env.get_execution_metrics()
    assert found["entries"] == 2.0 and found["trades"] >= 4.0
    assert -1.0 <= found["fill_quality"] <= 1.0 and -1.0 <= found["entry_quality"] <= 1.0
    assert found["slippage"] > 0.0 and found["latency"] > 0.0


def test_patterns_are_those_of_the_bars_seen_so_far():
    env = create_tactical_environment(max_cycles=400)
    env.reset(seed=2)
    market = env.row.engine.game.dataset.market
    kinds = set()
    for _ in range(120):
        state = env.row.engine.sim.state
        t, slot = int(state.t[0]), int(state.slots[0, 0])
        start = max(first for first, _ in market.history_bounds() if first <= t)
        expected = fair_value_gaps(market.ohlcv[start : t + 1, slot], 0.7)
        found = {pattern["type"]: pattern for pattern in env.get_fvg_patterns()}
        assert set(found) == {k for k, g in zip(("bullish", "bearish"), expected, strict=True) if g.born[-1] >= 0}
        for pattern in found.values():
            assert pattern["lower"] < pattern["upper"] and 0.0 < pattern["open_share"] <= 1.0
            assert pattern["confirmed"] == (pattern["confidence"] >= 0.8)
        kinds |= set(found)
        for _ in TACTICIANS:
            env.step(1)
    assert kinds == {"bullish", "bearish"}
