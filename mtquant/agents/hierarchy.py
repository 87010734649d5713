"""Bundles composed into the policies of the joint game, phase by phase."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtquant.agents.bundle import PolicyBundle
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.envs.games.joint import META, JointGame
from mtquant.envs.spaces import BudgetMap
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.result import BacktestResult
from mtquant.types import ActFn, Array, Float

SMALLEST_BUDGET = 0.05
"""Equal budgets fitted on validation do not fall below this, so that a losing phase 1 still shows."""


@dataclass(frozen=True)
class ConstantBudgets:
    """A meta-controller that always gives the same budgets; an `ActFn`."""

    action: Float
    """[1, G + 1]"""

    @classmethod
    def of(cls, budgets: Float, limit: float) -> "ConstantBudgets":
        """Return the meta-controller that gives `budgets` [G] (their sum below `limit`)."""
        return cls(BudgetMap(len(budgets), limit).encode(np.asarray(budgets)[None]))

    def __call__(self, observation: Array, /) -> Float:
        """Return the same action `[N, G + 1]` whatever is seen."""
        return np.repeat(self.action, len(observation), axis=0)


@dataclass(frozen=True)
class Hierarchy:
    """All agents of the joint game with the rules they were trained under."""

    name: str
    acts: Mapping[str, ActFn]
    context: bool
    """Whether specialists see budgets, peers and macro block (phase 3)."""
    joint: bool
    """Whether the stop-loss of phase 3 applies."""

    def game(self, dataset: Dataset, spec: PipelineSpec) -> JointGame:
        """Return the game these agents play."""
        return JointGame(dataset, spec, context=self.context, joint=self.joint)

    def backtest(self, dataset: Dataset, spec: PipelineSpec, split: Split) -> BacktestResult:
        """Return one pass over every segment of `split`."""
        return backtest(self.game(dataset, spec), split, self.acts, self.name)


def load_acts(folders: Mapping[str, Path]) -> dict[str, ActFn]:
    """Load bundles by agent as policies of the joint game."""
    return {agent: PolicyBundle.load(folder).act_fn() for agent, folder in folders.items()}


def constant_meta(meta: PolicyBundle, budgets: Float, limit: float) -> PolicyBundle:
    """Return a bundle like `meta` that always gives `budgets` [G] (their sum below `limit`)."""
    policy = copy.deepcopy(meta.policy)
    last = policy.action_net
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.from_numpy(ConstantBudgets.of(budgets, limit).action[0]))
    return replace(meta, policy=policy, provenance={"phase": 1, "budgets": [float(b) for b in budgets]})


def with_equal_budgets(specialists: Mapping[str, ActFn], spec: PipelineSpec, budget: float) -> Hierarchy:
    """Return phase 1 as a portfolio: every specialist at the same constant budget."""
    meta = ConstantBudgets.of(np.full(len(spec.groups), budget), spec.phase2.budget_limit)
    return Hierarchy("phase1", {**specialists, META: meta}, context=False, joint=False)


def best_common_budget(
    specialists: Mapping[str, ActFn], spec: PipelineSpec, dataset: Dataset, split: Split, aversion: float
) -> float:
    """Return the common budget that would have been best on `split`, by the mean-variance utility of its profits.

    Profit and linear costs are proportional to the budget, risk and impact to its square, so one pass is
    enough. The result lies between `SMALLEST_BUDGET` and an equal share of the budget limit.
    """
    trial = 0.3
    result = with_equal_budgets(specialists, spec, trial).backtest(dataset, spec, split)
    alive = result.alive
    unit = (result.equity[:-1] * spec.environment.target_volatility * dataset.unit_risk)[..., None]
    gross = (result.gross / unit).sum(axis=2)[alive].mean() / trial
    cost = (result.cost / unit).sum(axis=2)[alive].mean()
    exposure = result.exposure[alive]
    risk = ((exposure @ dataset.correlation) * exposure).sum(axis=1).mean() / trial**2
    if dataset.planted:
        linear, quadratic = gross, 0.5 * aversion * risk + cost / trial**2
    else:
        linear, quadratic = gross - cost / trial, 0.5 * aversion * risk
    best = linear / (2.0 * quadratic) if quadratic > 0 else SMALLEST_BUDGET
    ceiling = 0.95 * spec.phase2.budget_limit / len(spec.groups)
    return float(np.clip(best, SMALLEST_BUDGET, ceiling))


@dataclass(frozen=True)
class Trained:
    """What the phases left, as hierarchies; `budget` is phase 1's common one, fitted on validation."""

    phase1: Hierarchy
    phase2: Hierarchy
    phase3: Hierarchy
    control: Hierarchy | None
    specialists: Mapping[str, PolicyBundle]
    budget: float

    @property
    def hierarchies(self) -> tuple[Hierarchy, ...]:
        """Return all of them, in order."""
        return (self.phase1, self.phase2, self.phase3, *((self.control,) if self.control else ()))


def load_trained(spec: PipelineSpec, dataset: Dataset, folders: Mapping[str, Path]) -> Trained:
    """Load the bundles of all phases from the units' `outputs` folders."""
    specialist_folders = {g: folders[f"phase1-{g}"] / g for g in spec.groups}
    specialists = load_acts(specialist_folders)
    aversion = spec.phase3.reward.risk_aversion * spec.environment.target_volatility * dataset.unit_risk
    budget = best_common_budget(specialists, spec, dataset, dataset.splits.validation, aversion)
    meta = load_acts({META: folders["phase2-meta"] / META})
    agents = (META, *spec.groups)
    joint = load_acts({a: folders["phase3-joint"] / a for a in agents})
    control = None
    if "phase3-no-peers" in folders:
        alone = load_acts({a: folders["phase3-no-peers"] / a for a in agents})
        control = Hierarchy("no-peers", alone, context=False, joint=True)
    return Trained(
        with_equal_budgets(specialists, spec, budget),
        Hierarchy("phase2", {**specialists, **meta}, context=False, joint=False),
        Hierarchy("phase3", joint, context=spec.phase3.peers, joint=True),
        control,
        {g: PolicyBundle.load(f) for g, f in specialist_folders.items()},
        budget,
    )
