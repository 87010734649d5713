"""The joint game: who decides when, who sees what, and how each is paid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import INSTRUMENTS, EnvironmentSpec, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.joint import META, META_BOUND, JointGame
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.spaces import BudgetMap
from tests.envs.made import engine_of, joint_actions
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

OPEN_LIMITS = LimitsSpec(enabled=False)


def joint(context: bool = True, **changes: object) -> JointGame:
    return JointGame(tiny_dataset(), tiny_spec(**changes), context=context, joint=True)


def test_state_of_eight_instruments_in_three_groups_has_74_numbers():
    groups = ("forex",) * 3 + ("commodities",) * 2 + ("equity",) * 3
    catalogue = {s: InstrumentSpec(group=g, half_spread_bps=1.0) for s, g in zip(INSTRUMENTS, groups, strict=True)}
    rng = Streams(0).rng("eight")
    close = 100.0 * np.cumprod(1 + 0.01 * rng.standard_normal((300, 8)), axis=0)
    ohlcv = np.repeat(close[:, :, None], 5, axis=2)
    market = Market(
        INSTRUMENTS,
        np.arange(300) * 86_400_000_000_000,
        ohlcv,
        np.ones((300, 8), bool),
        np.zeros(300, int),
        "D1",
        260.0,
    )
    whole = Split("train", ((0, 300),))
    dataset = Dataset(
        market,
        Splits(whole, whole, whole),
        np.zeros((300, 8, 3), np.float32),
        ("a", "b", "c"),
        (0,),
        np.zeros(3),
        np.ones(3),
        0.01 * close,
        np.eye(8),
        np.zeros((300, 5), np.float32),
        tuple("abcde"),
        False,
    )
    game = JointGame(dataset, PipelineSpec(catalogue=InstrumentsSpec(instruments=catalogue)), context=True, joint=True)
    assert game.layout(META).width == 74
    assert dict(game.layout(META).blocks) == {"portfolio": 32, "correlations": 28, "specialists": 9, "macro": 5}
    engine = engine_of(game, 3)
    engine.begin(stagger=False)
    assert engine.observe(META).shape == (3, 74)
    assert [game.actions(agent).size for agent in game.agents] == [4, 3, 2, 3]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.floats(0.1, META_BOUND))
def test_budgets_are_a_simplex_times_appetite_times_the_limit(seed, size):
    action = Streams(seed).rng("x").uniform(-size, size, (20, 4))
    budgets, appetite = BudgetMap(3, 4.0).decode(action)
    assert (budgets > 0).all()
    np.testing.assert_allclose(budgets.sum(axis=1), 4.0 * appetite, rtol=1e-12)
    np.testing.assert_allclose(BudgetMap(3, 4.0).decode(BudgetMap(3, 4.0).encode(budgets))[0], budgets, atol=4e-3)


def test_budgets_move_at_decisions_only_and_smoothly():
    game = joint()
    engine = engine_of(game, 3)
    engine.begin(stagger=False)
    rng = Streams(0).rng("actions")
    before = engine.table.memory["budgets"]
    for age in range(30):
        actions = joint_actions(game, rng, 3)
        wanted, appetite = game.budget_map.decode(np.clip(actions[META], -META_BOUND, META_BOUND).astype(np.float64))
        engine.play(actions)
        budgets = engine.table.memory["budgets"]
        if age == 0:
            np.testing.assert_array_equal(budgets, before + 1.0 * (wanted - before))
        elif age % 5 == 0:
            np.testing.assert_allclose(budgets, 0.5 * before + 0.5 * wanted, rtol=1e-12)
            np.testing.assert_array_equal(engine.table.memory["appetite"], appetite)
        else:
            np.testing.assert_array_equal(budgets, before)
        before = budgets.copy()


def test_exposure_is_budget_times_book_and_books_approach_their_targets():
    game = joint(limits=OPEN_LIMITS)
    engine = engine_of(game, 2)
    engine.begin(stagger=False)
    books = np.zeros((2, 4))
    rng = Streams(0).rng("actions")
    for _ in range(12):
        actions = joint_actions(game, rng, 2)
        outcome = engine.play(actions)
        wanted = np.concatenate([np.clip(actions[g], -1, 1) for g in ("forex", "commodities", "equity")], axis=1)
        books = books + game.rate * (game.range * wanted - books)
        budgets = engine.table.memory["budgets"][:, [0, 0, 1, 2]]
        np.testing.assert_allclose(outcome.result.exposure, budgets * books, rtol=1e-9, atol=1e-12)
        assert (np.abs(books) <= game.range).all()


def test_silent_agents_keep_to_what_they_decided():
    game = joint(limits=OPEN_LIMITS)
    engine = engine_of(game, 1)
    engine.begin(stagger=False)
    engine.play(joint_actions(game, Streams(0).rng("a"), 1))
    before = {name: array.copy() for name, array in engine.table.memory.items()}
    outcome = engine.play({})
    for name in ("books", "budgets", "appetite"):
        np.testing.assert_array_equal(engine.table.memory[name], before[name])
    wanted = before["budgets"][:, game.group_of] * before["books"]
    np.testing.assert_allclose(outcome.result.exposure, wanted, rtol=1e-9)


def steps_of(game: JointGame, rows: int = 6, bars: int = 40):
    engine = engine_of(game, rows)
    engine.begin(stagger=False)
    rng = Streams(4).rng("actions")
    for _ in range(bars):
        yield engine, engine.play(joint_actions(game, rng, rows))


def utility(game: JointGame, net: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    return net.sum(axis=1) - 0.5 * game.aversion * np.einsum(
        "nk,kl,nl->n", exposure, game.dataset.correlation, exposure
    )


def test_difference_rewards_are_what_the_portfolio_would_miss():
    game = joint()
    for _, outcome in steps_of(game):
        result = outcome.result
        net = (result.gross - result.cost) / (result.equity_before * game.unit_risk)[:, None]
        whole = utility(game, net, result.exposure)
        np.testing.assert_allclose(outcome.rewards[META], whole, rtol=1e-9, atol=1e-12)
        missed = np.zeros_like(net)
        for k in range(4):
            keep = np.arange(4) != k
            missed[:, k] = whole - utility(game, net * keep, result.exposure * keep)
        np.testing.assert_allclose(game.difference(result), missed, rtol=1e-9, atol=1e-12)
        for group, slots in game.members.items():
            np.testing.assert_allclose(outcome.rewards[group], missed[:, slots].sum(axis=1), rtol=1e-9, atol=1e-12)
        alone = [utility(game, net * only, result.exposure * only) for only in np.eye(4)]
        np.testing.assert_allclose(game.own(result), np.stack(alone, axis=1), rtol=1e-9, atol=1e-12)


def test_without_context_specialists_see_their_features_and_book_only():
    game = joint(context=False)
    width = game.view.layout.width
    first = game.view.context.start
    for engine, _ in steps_of(game, bars=10):
        t, books = engine.sim.state.t, engine.table.memory["books"]
        seen = engine.observe("forex").reshape(6, 2, width)
        assert (seen[:, :, first:] == 0.0).all()
        np.testing.assert_array_equal(seen[:, :, : game.view.own_width], game.dataset.features[t][:, [0, 1]])
        np.testing.assert_array_equal(seen[:, :, game.view.own_width], (2.0 * books[:, :2]).astype(np.float32))


def test_without_context_phase_2_shows_specialists_what_phase_1_showed_them():
    joined = joint(context=False)
    single = SpecialistGame(joined.dataset, joined.spec, "forex")
    rng = Streams(0).rng("positions")
    t, position = rng.integers(20, 90, 5), rng.uniform(-1, 1, (5, 4))
    for k in (0, 1):
        alone = single.view.alone(t, np.full((5, 1), k), position[:, [k]])
        together = joined.view.together(t, np.array([k]), position[:, [k]], position[:, [k]], context=False)
        np.testing.assert_array_equal(alone, together)
    assert joined.layout("forex").width == 2 * single.layout("forex").width


def remainder(signals: np.ndarray, rho: np.ndarray, k: int, known: list[int]) -> np.ndarray:
    """Return `[N, S]` what the signals of `known` do not predict of those of `k`, at unit variance."""
    others = [j for j in known if j != k]
    beta = np.linalg.solve(rho[np.ix_(others, others)], rho[others, k])
    explained = rho[others, k] @ beta
    return (signals[:, k] - np.einsum("j,njs->ns", beta, signals[:, others])) / np.sqrt(1.0 - explained)


def test_context_shows_budget_remainders_of_signals_and_macro():
    game = joint()
    layout, dataset = game.view.layout, game.dataset
    for engine, _ in steps_of(game, bars=12):
        memory, t = engine.table.memory, engine.sim.state.t
        signals = dataset.features[t][:, :, list(dataset.signal_columns)].astype(np.float64)
        for group, members in (("forex", [0, 1]), ("commodities", [2]), ("equity", [3])):
            block = engine.observe(group).reshape(6, len(members), layout.width)
            for place, k in enumerate(members):
                seen = {name: block[:, place, layout.slice(name)] for name, _ in layout.blocks}
                budget = memory["budgets"][:, game.group_of[k]]
                np.testing.assert_allclose(seen["goal"][:, 0], budget - 1.0, rtol=1e-6, atol=1e-6)
                assert (seen["phase"] == 1.0).all()
                for name, known in (("group_remainder", members), ("market_remainder", [0, 1, 2, 3])):
                    expected = remainder(signals, dataset.correlation, k, known)
                    np.testing.assert_allclose(seen[name], expected, rtol=1e-4, atol=1e-5)
                np.testing.assert_array_equal(seen["macro"], dataset.macro[t])


def test_stop_loss_of_phase_3_is_that_of_the_joint_setting():
    limits = LimitsSpec(stop_loss="equity", joint_stop_loss="off")
    dataset = tiny_dataset()
    for is_joint, stop in ((True, "off"), (False, "equity")):
        game = JointGame(dataset, tiny_spec(limits=limits), context=True, joint=is_joint)
        assert engine_of(game, 1).sim.limits.stop == stop


def test_episodes_are_whole_decisions():
    environment = EnvironmentSpec(instruments=SYMBOLS, episode_length=58, warmup_steps=10)
    game = joint(environment=environment)
    engine = GameEngine(game, game.dataset.splits.train, 50, Streams(0).rng("e"))
    engine.begin(stagger=True)
    state = engine.sim.state
    assert ((state.end - state.t) % game.decision_bars == 0).all()
    assert (state.end - state.t).max() == 55


def test_goals_show_nothing_of_the_word_before_it_is_said():
    game = joint()
    engine = engine_of(game, 2)
    engine.begin(stagger=False)
    at = game.layout("forex").slice("goal.0")
    silent = engine.observe("forex")[:, at].copy()
    engine.say(META, np.array([[6.0, 0, 0, 6.0], [0.0, 0, 0, -6.0]]))
    heard = engine.observe("forex")[:, at]
    expected = game.budget_map.decode(np.array([[6.0, 0, 0, 6.0], [0.0, 0, 0, -6.0]]))[0][:, :1] - 1.0
    np.testing.assert_allclose(heard, expected, rtol=1e-6)
    assert (silent != heard).all()
    assert silent[0] == pytest.approx(0.5 * 4.0 / 3.0 - 1.0)
