"""Coalitions of a small hierarchy: run side by side they are what they are one by one, and add up."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mtquant.agents.hierarchy import ConstantBudgets, Hierarchy, with_equal_budgets
from mtquant.data.splits import Split
from mtquant.envs.games.joint import META
from mtquant.envs.scenario import Scenario
from mtquant.evaluation.attribution import ALLOCATION, COSTS, RISK_LAYER, cells_of
from mtquant.evaluation.backtest import backtest
from mtquant.execution.attributing import Flat, Switched, attribute_profit, trade_coalitions
from tests.tiny import tiny_dataset, tiny_spec

SPLIT = Split("test", ((300, 400), (520, 600)))
BUDGET = 0.5


class Network:
    """An `ActFn` of a network."""

    def __init__(self, layers):
        self.layers = layers

    def __call__(self, observation):
        with torch.no_grad():
            return self.layers(torch.from_numpy(np.asarray(observation, dtype=np.float32))).numpy()


class Steady:
    """A specialist that wants the same target everywhere."""

    def __init__(self, width, target):
        self.width, self.target = width, target

    def __call__(self, observation):
        return np.full((len(observation), self.width), self.target)


def hierarchy(spec, budgets=(0.3, 0.6, 0.9)):
    acts = {
        "forex": Steady(2, 0.7),
        "commodities": Steady(1, -0.5),
        "equity": Steady(1, 0.9),
        META: ConstantBudgets.of(np.array(budgets), spec.phase2.budget_limit),
    }
    return Hierarchy("phase3", acts, context=True, joint=True)


def attributed(found, spec, dataset):
    whole = found.backtest(dataset, spec, SPLIT)
    return whole, attribute_profit(found, dataset, spec, SPLIT, whole, BUDGET)


@pytest.fixture(scope="module")
def tiny():
    return tiny_spec(), tiny_dataset(bars=1000)


def test_profits_add_up_to_the_account(tiny):
    spec, dataset = tiny
    whole, found = attributed(hierarchy(spec), spec, dataset)
    earned = float((whole.equity[-1] - whole.equity[0]).mean()) / spec.environment.initial_capital
    assert found.players == ("forex", "commodities", "equity", ALLOCATION, RISK_LAYER, COSTS)
    assert found.total == pytest.approx(earned, abs=1e-9)
    assert sum(found.by_player.values()) == pytest.approx(earned, abs=1e-9)
    assert found.by_player[COSTS] < 0.0


def test_equal_budgets_are_worth_nothing(tiny):
    spec, dataset = tiny
    acts = {g: a for g, a in hierarchy(spec).acts.items() if g != META}
    _, found = attributed(with_equal_budgets(acts, spec, BUDGET), spec, dataset)
    assert abs(found.by_player[ALLOCATION]) < 1e-12


def test_a_flat_specialist_and_a_layer_that_is_off_are_worth_nothing(tiny):
    spec, dataset = tiny
    spec = spec.model_copy(update={"limits": spec.limits.model_copy(update={"enabled": False})})
    lazy = hierarchy(spec)
    lazy = replace(lazy, acts={**lazy.acts, "equity": Flat(1)})
    _, found = attributed(lazy, spec, dataset)
    assert found.by_player["equity"] == 0.0
    assert set(found.by_instrument["equity"].values()) == {0.0}
    # the layer is switched on again where it plays: its stand-in is what the settings say, off
    assert found.by_player[RISK_LAYER] == 0.0


def learned(spec, dataset):
    """Return agents that are small networks, whose numbers are single precision."""
    game = hierarchy(spec).game(dataset, spec)
    acts = {}
    for number, agent in enumerate(game.agents):
        torch.manual_seed(number)
        layers = nn.Sequential(
            nn.Linear(game.layout(agent).width, 8), nn.Tanh(), nn.Linear(8, game.actions(agent).size)
        )
        acts[agent] = Network(layers)
    return Hierarchy("phase3", acts, context=True, joint=True)


@pytest.mark.parametrize(("make", "tolerance"), [(lambda spec, _: hierarchy(spec), 0.0), (learned, 1e-6)])
def test_coalitions_side_by_side_are_backtests_one_by_one(tiny, make, tolerance):
    spec, dataset = tiny
    found = make(spec, dataset)
    players = (*spec.groups, ALLOCATION, RISK_LAYER, COSTS)
    whole = found.backtest(dataset, spec, SPLIT)
    regimes = [str(t % 2) for t in range(len(dataset.market.time))]
    cells = cells_of(whole, regimes, dataset.market.time)
    chosen = range(1 << len(players))
    together = trade_coalitions(found, dataset, spec, SPLIT, chosen, players, BUDGET, cells)
    game = found.game(dataset, spec)
    equal = ConstantBudgets.of(np.full(len(spec.groups), BUDGET), spec.phase2.budget_limit)
    for coalition in chosen:
        inside = {player for bit, player in enumerate(players) if coalition >> bit & 1}
        acts = {g: found.acts[g] if g in inside else Flat(game.actions(g).size) for g in spec.groups}
        acts[META] = found.acts[META] if ALLOCATION in inside else equal
        paid = (Scenario(cost_scale=1.0 if COSTS in inside else 0.0),)
        alone = cells.sums(backtest(game, SPLIT, acts, "one", conditions=paid))
        np.testing.assert_allclose(
            together[coalition], alone, rtol=0.0, atol=tolerance * spec.environment.initial_capital
        )
    assert len({profit.tobytes() for profit in together}) > 10


def test_a_switch_knows_its_rows():
    both = Switched(Steady(2, 1.0), Flat(2), (True, False, True))
    np.testing.assert_array_equal(both(np.zeros((6, 4)))[:, 0], [1, 1, 0, 0, 1, 1])
