"""Every subset of specialists, allocation, risk layer and costs, traded side by side over the same bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.agents.hierarchy import ConstantBudgets, Hierarchy
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.envs.conditions import LOOKBACK, NAMES, market_conditions
from mtquant.envs.games.joint import META
from mtquant.envs.scenario import Scenario
from mtquant.evaluation.attribution import ALLOCATION, COSTS, RISK_LAYER, Attribution, Cells, attribute, cells_of
from mtquant.evaluation.backtest import play
from mtquant.evaluation.result import BacktestResult
from mtquant.types import ActFn, Array, Float


@dataclass(frozen=True)
class Switched:
    """A policy in some of the runs side by side and its stand-in in the others; an `ActFn`."""

    act: ActFn
    instead: ActFn
    active: tuple[bool, ...]
    """One entry per run; the rows of a run lie together."""

    def __call__(self, observation: Array, /) -> Array:
        """Return `[N, a]`."""
        rows = len(observation) // len(self.active)
        mask = np.repeat(self.active, rows)[:, None]
        out: Array = np.where(mask, self.act(observation), self.instead(observation))
        return out


@dataclass(frozen=True)
class Flat:
    """Wants no position; an `ActFn`."""

    width: int

    def __call__(self, observation: Array, /) -> Float:
        """Return `[N, width]` zeros."""
        return np.zeros((len(observation), self.width))


def attribute_profit(
    hierarchy: Hierarchy, dataset: Dataset, spec: PipelineSpec, split: Split, whole: BacktestResult, budget: float
) -> Attribution:
    """Return where the profit of `whole`, the backtest of `hierarchy` over `split`, came from.

    Without the meta-controller every group has `budget`. The coalition of all is `whole` itself.
    """
    players = (*spec.groups, ALLOCATION, RISK_LAYER, COSTS)
    regimes = market_conditions(dataset, split, max(1, min(LOOKBACK, spec.environment.warmup_steps)))
    named = {labels[-1]: name for name, labels in NAMES.items()} | {NAMES["trend"][0]: "trend"}
    cells = cells_of(whole, [named.get(int(r), "unknown") for r in regimes], dataset.market.time)
    profits = np.zeros((1 << len(players), len(cells.names), len(whole.symbols)))
    for protected in (False, True):
        chosen = [c for c in range(1 << len(players)) if bool(c >> players.index(RISK_LAYER) & 1) is protected]
        limited = _protected(spec, protected)
        profits[chosen] = trade_coalitions(hierarchy, dataset, limited, split, chosen, players, budget, cells)
    profits[-1] = cells.sums(whole)
    capital = spec.environment.initial_capital * whole.alive.shape[1]
    return attribute(hierarchy.name, players, whole.symbols, cells, profits, capital)


def trade_coalitions(
    hierarchy: Hierarchy,
    dataset: Dataset,
    spec: PipelineSpec,
    split: Split,
    coalitions: Sequence[int],
    players: Sequence[str],
    budget: float,
    cells: Cells,
) -> Float:
    """Return `[coalitions, C, K]` the net profits of all coalitions, traded side by side with the same limits.

    Nothing but the sums is kept, so that the memory does not depend on the number of bars.
    """

    def active(player: str) -> tuple[bool, ...]:
        bit = players.index(player)
        return tuple(bool(c >> bit & 1) for c in coalitions)

    game = hierarchy.game(dataset, spec)
    equal = ConstantBudgets.of(np.full(len(spec.groups), budget), spec.phase2.budget_limit)
    acts: dict[str, ActFn] = {META: Switched(hierarchy.acts[META], equal, active(ALLOCATION))}
    for group in spec.groups:
        acts[group] = Switched(hierarchy.acts[group], Flat(game.actions(group).size), active(group))
    conditions = [Scenario(cost_scale=1.0 if paid else 0.0) for paid in active(COSTS)]
    out = np.zeros((len(coalitions), len(cells.names), game.slots))
    for alive, result, _ in play(game, split, acts, conditions=conditions):
        run = np.repeat(np.arange(len(coalitions)), len(alive) // len(coalitions))
        cells.add(out, run, alive, result.t, result.gross - result.cost)
    return out


def _protected(spec: PipelineSpec, protected: bool) -> PipelineSpec:
    return spec if protected else spec.model_copy(update={"limits": spec.limits.model_copy(update={"enabled": False})})
