"""Change the future, and nothing that an agent sees, decides or is paid up to the present moves."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.phase1_trainer import Phase1Trainer
from mtquant.config.agents import DataSpec, EnvironmentSpec, FeatureSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.features import build_dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.joint import JointGame
from mtquant.evaluation.backtest import backtest
from mtquant.execution.sources import open_source
from mtquant.sim.simulator import Episode
from mtquant.synthetic import build_planted
from mtquant.synthetic.export import TRUTH, export_csv
from tests.agents.made import PHASE1, bundles_of, handle_of, learning_spec
from tests.envs.made import MADE, joint_actions
from tests.tiny import SYMBOLS, tiny_dataset, tiny_market, tiny_spec

ROWS = 4
DECISIONS = ("exposure", "trade", "projection", "breaker", "stops")
"""What a step fixes at the close of t, before t + 1 is known; the rest of its result is known at t + 1."""


def other_market(market: Market, present: int, seed: int) -> Market:
    """Return the market with everything after bar `present` drawn anew."""
    rng = Streams(seed).rng("future")
    later = np.arange(len(market.time)) > present
    ohlcv, tradable = np.array(market.ohlcv), np.array(market.tradable)
    ohlcv[later, :, :4] *= rng.uniform(0.5, 2.0, (int(later.sum()), len(market.symbols), 1))
    ohlcv[later, :, 4] = rng.uniform(0, 500, (int(later.sum()), len(market.symbols)))
    tradable[later] = rng.random((int(later.sum()), len(market.symbols))) < 0.7
    # whether the next bar exists is not known beforehand, but it decides whether a word can be executed
    tradable[present + 1] = market.tradable[present + 1]
    macro = np.array(market.macro)
    macro[later] += rng.standard_normal(macro[later].shape)
    return Market(
        market.symbols,
        market.time,
        ohlcv,
        tradable,
        market.history,
        market.timeframe,
        market.bars_per_year,
        macro,
        market.macro_names,
    )


def other_future(dataset: Dataset, present: int, seed: int) -> Dataset:
    """Return the dataset with prices, features, volatility and macro block drawn anew after bar `present`."""
    rng = Streams(seed).rng("features")
    changed = {}
    for name in ("features", "point_volatility", "macro"):
        array = np.array(getattr(dataset, name))
        array[present + 1 :] = rng.uniform(0.1, 5.0, array[present + 1 :].shape) * np.abs(array).mean()
        changed[name] = array
    return replace(dataset, market=other_market(dataset.market, present, seed), **changed)


def engine_at(dataset: Dataset, name: str, start: int) -> GameEngine:
    game = MADE[name](dataset, tiny_spec())
    engine = GameEngine(game, dataset.splits.train, ROWS, Streams(0).rng("x"))
    slots = np.tile(np.arange(4), (ROWS, 1)) if game.slots == 4 else np.array([[0], [1], [0], [1]])
    begin = start + 5 * np.arange(ROWS)
    engine.begin_episode(Episode(begin, np.full(ROWS, 195), slots, np.ones(ROWS), np.ones(ROWS)))
    return engine


@pytest.mark.parametrize("present", [60, 97, 130])
@pytest.mark.parametrize("name", MADE)
def test_games_know_nothing_of_the_future(name, present):
    dataset = tiny_dataset(missing=0.2, hours=6)
    here, there = engine_at(dataset, name, 15), engine_at(other_future(dataset, present, 1), name, 15)
    rng = Streams(2).rng("actions")
    moved = False
    for _ in range(150):
        t = np.asarray(here.sim.state.t)
        past, now = t <= present, t == present
        actions = joint_actions(here.game, rng, ROWS)
        for agent in here.game.agents:
            np.testing.assert_array_equal(here.observe(agent)[past], there.observe(agent)[past], err_msg=agent)
            here.say(agent, actions[agent])
            there.say(agent, actions[agent])
        one, two = here.advance(), there.advance()
        for field in DECISIONS:
            decided = getattr(one.result, field), getattr(two.result, field)
            np.testing.assert_array_equal(decided[0][now], decided[1][now], err_msg=field)
        known = t + 1 <= present
        for agent in here.game.agents:
            np.testing.assert_array_equal(one.rewards[agent][known], two.rewards[agent][known])
        for field, value in one.result._asdict().items():
            np.testing.assert_array_equal(value[known], getattr(two.result, field)[known], err_msg=field)
        after = t > present
        moved = moved or any((one.rewards[a][after] != two.rewards[a][after]).any() for a in here.game.agents)
    assert moved, "the other future must be another one"


@pytest.mark.parametrize("context", [True, False])
def test_trained_agents_backtest_alike_up_to_the_present(context):
    dataset, spec = tiny_dataset(), learning_spec()
    acts = {agent: bundle.act_fn() for agent, bundle in bundles_of(dataset, spec).items()}
    present = 350
    results = [
        backtest(JointGame(d, spec, context=context, joint=True), d.splits.test, acts, "x")
        for d in (dataset, other_future(dataset, present, 3))
    ]
    past = int((results[0].bar[:, 0] < present).sum())
    assert past == present - 300
    for field in ("gross", "cost", "exposure", "budgets", "appetite", "value_at_risk"):
        one, two = (getattr(result, field) for result in results)
        np.testing.assert_array_equal(one[:past], two[:past], err_msg=field)
        assert not np.array_equal(one[past:], two[past:])
    np.testing.assert_array_equal(results[0].equity[: past + 1], results[1].equity[: past + 1])


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.parametrize("present", [799, 850, 1000])
def test_from_bars_to_observations_nothing_before_the_change_moves(planted, present):
    """The whole way: bars, features, statistics of the train split, views of every game."""
    bars = 1200
    half = bars // 2
    market = tiny_market(3, bars, hours=6, missing=0.1)
    splits = Splits(
        Split("train", ((0, half),)), Split("validation", ((half, half + 200),)), Split("test", ((half + 200, bars),))
    )
    features = FeatureSpec(regimes=True, sessions=True)
    spec = tiny_spec(features=features)
    one, two = (
        build_dataset(m, splits, features, planted=planted, catalogue=spec.catalogue)
        for m in (market, other_market(market, present, 5))
    )
    for name in ("feature_mean", "feature_std", "correlation"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert set(one.statistics) == set(two.statistics)
    for name, values in one.statistics.items():
        np.testing.assert_array_equal(values, two.statistics[name], err_msg=name)
    for name in ("features", "point_volatility", "macro"):
        before, after = getattr(one, name), getattr(two, name)
        np.testing.assert_array_equal(before[: present + 1], after[: present + 1], err_msg=name)
        assert not np.array_equal(before[present + 1 :], after[present + 1 :])
    for make in MADE.values():
        engines = []
        for dataset in (one, two):
            game = make(dataset, spec)
            engine = GameEngine(game, splits.test, 1, Streams(0).rng("x"))
            slots = np.arange(4)[None, :] if game.slots == 4 else np.zeros((1, 1), int)
            start = np.array([max(half + 200, present - 20)])
            engine.begin_episode(Episode(start, np.array([bars - 1]), slots, np.ones(1), np.ones(1)))
            engines.append(engine)
        rng = Streams(7).rng("actions")
        while int(engines[0].sim.state.t[0]) <= present:
            actions = joint_actions(engines[0].game, rng, 1)
            for agent in engines[0].game.agents:
                np.testing.assert_array_equal(engines[0].observe(agent), engines[1].observe(agent))
            for engine in engines:
                engine.play(actions)


def planted_spec(source: str):
    planted = {"train_histories": 3, "validation_histories": 1, "test_histories": 1, "history_bars": 400}
    return learning_spec(
        data=DataSpec(source=source, planted=planted if source == "embedded" else {}),
        environment=EnvironmentSpec(instruments=SYMBOLS, episode_length=60, warmup_steps=150),
        phase1=PHASE1,
    )


def trained_weights(source: str, root) -> str:
    spec = planted_spec(source)
    dataset = open_source(spec).dataset(spec)
    handle = handle_of(root)
    Phase1Trainer(spec, dataset, lambda _: handle).train_specialist("forex")
    return PolicyBundle.load(handle.outputs / "forex").digest


def test_training_does_not_need_the_truth_of_a_planted_market(tmp_path):
    spec = planted_spec("embedded")
    planted = build_planted("embedded", spec.data.planted, Streams(spec.seed), SYMBOLS)
    folder = tmp_path / "market"
    export_csv(planted, folder)
    with_truth = trained_weights(str(folder), tmp_path / "a")
    (folder / TRUTH).unlink()
    assert trained_weights(str(folder), tmp_path / "b") == with_truth == trained_weights("embedded", tmp_path / "c")
