"""The risk game: levels, budgets, stops, emergencies, weights and what is measured."""

import numpy as np
import pytest

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.risk import DESK, RiskGame, create_risk_environment, risk_ground
from mtquant.envs.risk_view import least_variance
from mtquant.sim.simulator import Episode

DOWN, MAINTAIN, UP = 0, 2, 4


def game_of(**agents) -> RiskGame:
    environment = agents.pop("environment", {"black_swan_rate": 0.0})
    chosen = read_games({"risk_management": {"environment": environment, "agents": agents}}).risk_management
    return RiskGame(risk_ground(None, chosen, 500, seed=0), chosen, 500)


def engine_at(game: RiskGame, *bars: int) -> GameEngine:
    rows = len(bars)
    engine = GameEngine(game, game.dataset.splits.train, rows, Streams(0).rng("episodes"))
    start = np.array(bars)
    engine.begin_episode(Episode(start, start + 80, np.tile(np.arange(3), (rows, 1)), np.ones(rows), np.ones(rows)))
    return engine


def play(engine: GameEngine, *words: int):
    return engine.play({a: np.full((engine.rows, 1), w) for a, w in zip(DESK, words, strict=True)})


def test_levels_move_by_the_word_and_stay_within_their_range():
    engine = engine_at(game_of(), 200)
    for word, level in ((3, 3), (UP, 4), (UP, 4), (1, 3), (DOWN, 1), (DOWN, 0), (MAINTAIN, 0)):
        play(engine, word, MAINTAIN, MAINTAIN, MAINTAIN)
        assert engine.table.memory["levels"][0].tolist() == [level, 2, 2, 2]
    assert not engine.sim.exposure().any()


def test_size_is_the_portfolios_risk_and_the_budget_cuts_it():
    # without stops, and where the market is calm
    game = game_of()
    calm = int(np.flatnonzero(game.view.volatility[200:] < 0.4)[0]) + 200
    engine = engine_at(game, calm)
    play(engine, UP, UP, UP, MAINTAIN)
    x = engine.sim.exposure()
    assert np.sqrt(x @ game.dataset.correlation @ x.T)[0, 0] == pytest.approx(2.0, rel=0.05)
    tight = engine_at(game_of(risk_monitor={"var_threshold": 0.004}), calm)
    for _ in range(3):
        outcome = play(tight, UP, UP, DOWN, MAINTAIN)
        used = tight.game.view.value_at_risk(outcome.result.exposure, outcome.result.t)
        assert used[0] <= 0.2 * 0.004 * (1 + 1e-9)


def test_weights_go_from_equal_risk_to_least_variance_when_it_is_worth_a_trade():
    game = game_of(portfolio_optimizer={"rebalance_threshold": 0.0})
    engine = engine_at(game, 400)
    play(engine, MAINTAIN, UP, UP, UP)
    np.testing.assert_allclose(engine.table.memory["weights"], 1 / 3)
    for _ in range(2):
        t = engine.sim.state.t
        play(engine, MAINTAIN, UP, UP, DOWN)
    np.testing.assert_allclose(engine.table.memory["weights"], game.view.least_variance[t])
    lazy = engine_at(game_of(portfolio_optimizer={"rebalance_threshold": 0.9}), 400)
    play(lazy, MAINTAIN, UP, UP, DOWN)
    np.testing.assert_array_equal(lazy.table.memory["weights"], [[1 / 3] * 3])


def test_least_variance_is_the_closed_form_where_no_limit_binds_and_keeps_to_limits_where_they_do():
    correlation = np.array([[1.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 1.0]])
    exact = np.linalg.solve(correlation, np.ones(3))
    np.testing.assert_allclose(least_variance(correlation[None], 1.0)[0], exact / exact.sum(), rtol=1e-5)
    rng = Streams(0).rng("matrices")
    for _ in range(50):
        root = rng.standard_normal((4, 6))
        weight = least_variance((root @ root.T)[None], 0.4)[0]
        assert weight.sum() == pytest.approx(1.0) and weight.min() >= 0.0 and weight.max() <= 0.4 + 1e-9
    np.testing.assert_allclose(least_variance(np.eye(2)[None], 0.4)[0], 0.5)


def test_a_stop_closes_the_position_and_keeps_it_closed():
    game = game_of(stop_target={"atr_multiplier": 0.2, "cooldown_bars": 3})
    engine = engine_at(game, 300, 500, 800)
    flat_for = np.zeros((3, 3), dtype=int)
    ends = []
    for _ in range(60):
        play(engine, MAINTAIN, MAINTAIN, MAINTAIN, MAINTAIN)
        flat = engine.sim.exposure() == 0.0
        ended = ~flat & (flat_for > 0)
        ends += flat_for[ended].tolist()
        flat_for = np.where(flat, flat_for + 1, 0)
    assert len(ends) > 10 and set(ends) == {4}, "closed in the bar of the stop and for three more"
    free = engine_at(game, 300)
    for _ in range(40):
        play(free, MAINTAIN, UP, MAINTAIN, MAINTAIN)
        assert (free.sim.exposure() > 0.0).all(), "the widest level has no stop"


def test_in_an_emergency_nothing_is_raised_and_exposure_is_halved():
    game = game_of(environment={"black_swan_rate": 0.01})
    crisis = np.flatnonzero(game.view.crisis[200:1400])[0] + 200
    alert, careless = (
        engine_at(g, int(crisis))
        for g in (game, game_of(environment={"black_swan_rate": 0.01}, risk_monitor={"emergency_protocols": False}))
    )
    for engine in (alert, careless):
        play(engine, UP, MAINTAIN, UP, MAINTAIN)
    assert alert.table.memory["levels"][0].tolist() == [2, 2, 2, 2]
    assert careless.table.memory["levels"][0].tolist() == [4, 2, 4, 2]
    ratio = alert.sim.exposure().sum() / careless.sim.exposure().sum()
    assert ratio == pytest.approx(0.5 * 1.0 / 2.0, rel=0.2)
    assert alert.parts()["emergency"][0] == 0.0, "holding on is no answer"
    answered = engine_at(game, int(crisis))
    play(answered, DOWN, MAINTAIN, MAINTAIN, MAINTAIN)
    assert answered.parts()["emergency"][0] == pytest.approx(0.3)


def test_a_portfolio_that_is_itself_the_emergency_earns_no_bonus_for_ending_it():
    game = game_of(risk_monitor={"var_threshold": 0.002})
    engine = engine_at(game, int(np.flatnonzero(~game.view.crisis[300:])[0]) + 300)
    engine.sim.state = engine.sim.state._replace(units=np.full((1, 3), 1e3))
    assert game.alarm(engine.table)[0]
    play(engine, DOWN, DOWN, DOWN, DOWN)
    assert engine.parts()["emergency"][0] == 0.0


def test_the_reward_is_utility_at_fractional_kelly():
    game = game_of()
    engine = engine_at(game, 200, 700)
    for _ in range(10):
        outcome = play(engine, MAINTAIN, UP, UP, MAINTAIN)
        result = outcome.result
        gross = result.gross.sum(axis=1) / result.equity_before
        cost = result.cost.sum(axis=1) / result.equity_before
        expected = (gross - cost - 0.5 / 0.25 * gross**2) / game.unit_risk
        np.testing.assert_allclose(engine.parts()["utility"], expected)
        np.testing.assert_allclose(engine.parts()["var_compliance"], 0.1)


def test_measures_for_people_agree_with_what_the_desk_sees():
    env = create_risk_environment({"risk_management": {"agents": {"risk_monitor": {"var_threshold": 0.01}}}})
    env.reset(seed=4)
    kinds = set()
    for _ in range(250):
        for _ in DESK:
            env.step(4)
        if not env.agents or any(env.truncations.values()):
            break
        seen = dict(zip([n for n, _ in env.row.engine.game.layout(DESK[0]).blocks], env.observe(DESK[0]), strict=True))
        found, alerts = env.get_var_metrics(), env.get_risk_alerts()
        assert found["use"] == pytest.approx(seen["var_use"], rel=1e-4, abs=1e-6)
        assert found["expected_shortfall"] >= found["value_at_risk"]
        assert any(a["kind"] == "value_at_risk" for a in alerts) == (found["value_at_risk"] >= found["threshold"])
        matrix = env.get_correlation_matrix()
        np.testing.assert_allclose(np.diagonal(matrix), 1.0)
        assert (matrix[np.triu_indices(3, 1)].mean()) == pytest.approx(seen["mean_correlation"], abs=1e-5)
        assert all(alert["message"] and alert["value"] >= alert["threshold"] for alert in alerts)
        kinds |= {alert["kind"] for alert in alerts}
    assert len(kinds) >= 2
