"""The search for leaks: finds every planted one, blames nobody else, and serves foreign environments."""

import gymnasium
import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.errors import UsageError
from mtquant.evaluation.causality import (
    Access,
    LeakFound,
    Search,
    assert_causal,
    assert_prefix_stable,
    find_leak,
    find_unstable,
    leak_suite,
    suite_table,
)
from mtquant.evaluation.causality.perturbation import random_walk
from mtquant.evaluation.causality.pipelines import CLEAN, engine, prepared, trained_until
from mtquant.evaluation.causality.planted_leaks import LEAKS
from tests.evaluation.causality.foreign import ACCESS, ForeignEnv, table_of

SHORT = Search(trials=4, steps=20, fill_trials=3)
MARKET = random_walk(Streams(0))
END = trained_until(MARKET)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", LEAKS)
def test_every_planted_leak_is_found_by_its_check(name, seed):
    streams = Streams(seed)
    market = random_walk(streams)
    found = find_leak(LEAKS[name].factory, market, fitted_until=END, search=Search(streams=streams))
    assert found is not None
    assert found.check in LEAKS[name].checks
    assert found.here != found.there


@pytest.mark.parametrize("name", CLEAN)
def test_no_clean_pipeline_is_blamed(name):
    assert_causal(CLEAN[name][0], MARKET, fitted_until=END, search=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CLEAN)
def test_no_clean_pipeline_is_blamed_however_long_one_looks(name, seed):
    streams = Streams(seed)
    assert_causal(CLEAN[name][0], random_walk(streams), fitted_until=END, search=Search(streams=streams))


def test_ten_leaks_and_several_clean_pipelines_are_tried():
    assert len(LEAKS) >= 10
    assert len(CLEAN) >= 5
    assert {check for leak in LEAKS.values() for check in leak.checks} == {
        "observation",
        "statistic",
        "episode",
        "position",
        "reward",
        "fill",
    }


def test_the_message_names_feature_bar_and_perturbation():
    with pytest.raises(LeakFound, match=r"observation of forex, features: ewma_1, at bar \d+ .* \(values\)") as raised:
        assert_causal(LEAKS["shifted label"].factory, MARKET, fitted_until=END, search=SHORT)
    leak = raised.value.leak
    assert leak.bar == leak.present, "the next bar's return shows at the last bar that stayed"


def test_the_search_repeats_itself():
    found = [find_leak(LEAKS["survivors"].factory, MARKET, fitted_until=END, search=SHORT) for _ in range(2)]
    assert found[0] == found[1]


def test_statistics_of_a_train_split_are_a_leak_where_none_is_declared():
    found = find_leak(engine(split="train"), MARKET, search=Search(trials=8))
    assert found is not None
    assert found.check == "statistic"


@pytest.mark.parametrize("fill", ["open", "close"])
def test_a_foreign_environment_is_judged(fill):
    found = find_leak(lambda market: ForeignEnv(table_of(market), fill=fill), MARKET, access=ACCESS)
    if fill == "open":
        assert found is None
    else:
        assert found is not None
        assert (found.check, found.there) == ("fill", pytest.approx(1.0, abs=0.05))


def test_a_leak_in_a_foreign_environment_is_named():
    def normalised(market):
        env = ForeignEnv(table_of(market))
        env.seen = (env.seen - env.seen.mean(axis=0)) / env.seen.std(axis=0)
        return gymnasium.wrappers.TimeLimit(env, 30)

    found = find_leak(normalised, MARKET, access=ACCESS)
    assert found is not None
    assert (found.check, found.entry) == ("observation", "return")


def test_what_a_foreign_environment_fitted_is_compared_where_it_is_shown():
    access = Access(ACCESS.bar, statistics=lambda env: {"mean": env.unwrapped.seen.mean(axis=0)})
    found = find_leak(lambda market: ForeignEnv(table_of(market)), MARKET, access=access)
    assert found is not None
    assert found.what == "statistic mean"


def test_units_of_a_foreign_environment_are_compared_where_they_are_shown():
    class Foreseeing(ForeignEnv):
        def step(self, action):
            rises = self.table["close"][self.bar + 1] > self.table["close"][self.bar]
            return super().step(action if rises else 1)

    access = Access(ACCESS.bar, positions=lambda env: [env.unwrapped.position])
    found = find_leak(lambda market: Foreseeing(table_of(market)), MARKET, access=access)
    assert found is not None
    assert found.check == "position"


def test_a_foreign_environment_must_say_where_it_stands():
    with pytest.raises(UsageError, match="at which bar"):
        find_leak(lambda market: ForeignEnv(table_of(market)), MARKET)
    with pytest.raises(UsageError, match="no engine"):
        find_leak(lambda market: market, MARKET)


def test_fills_are_not_judged_where_nothing_is_earned():
    class Unpaid(ForeignEnv):
        def step(self, action):
            seen, _, *rest = super().step(action)
            return seen, 0.0, *rest

    with pytest.raises(UsageError, match="fills=False"):
        find_leak(lambda market: Unpaid(table_of(market)), MARKET, access=ACCESS)
    assert find_leak(lambda market: Unpaid(table_of(market)), MARKET, access=ACCESS, search=Search(fills=False)) is None


def test_features_do_not_change_where_the_bars_end_sooner():
    whole = len(MARKET.time)
    names = prepared(MARKET)[0].feature_names
    assert_prefix_stable(
        lambda market: prepared(market, whole=whole)[0].features, MARKET, fitted_until=END + 1, names=names
    )


def test_a_feature_that_needs_the_end_is_named():
    def features(market):
        moves = np.diff(market.close[:, 0], prepend=market.close[0, 0])
        return np.stack([moves, moves - moves.mean()], axis=1)

    found = find_unstable(features, MARKET, names=("move", "less mean"))
    assert found is not None
    assert (found.check, found.entry, found.bar) == ("prefix", "less mean", 0)
    with pytest.raises(LeakFound, match="less mean"):
        assert_prefix_stable(features, MARKET, names=("move", "less mean"))


@pytest.mark.slow
def test_the_suite_is_a_table():
    trials = leak_suite()
    assert [trial.name for trial in trials if not trial.passed] == []
    lines = suite_table(trials).splitlines()
    assert len(lines) == 1 + len(LEAKS) + len(CLEAN)
    assert sum("found " in line for line in lines[1:]) == len(LEAKS)
