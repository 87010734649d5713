"""`HierarchyNetwork`: meta-controller and specialists as one network, from what they see to exposures wanted."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.policy import Actor
from mtquant.config.agents import PipelineSpec
from mtquant.envs.games.joint import META
from mtquant.errors import UsageError

STATE = ("age", "budgets", "appetite", "books")
"""Inputs that follow the observations: what the hierarchy remembers from the bar before."""


class HierarchyStep(NamedTuple):
    """What the hierarchy says in one bar."""

    next_budgets: Tensor
    """[N, G] budgets from this bar on."""
    next_appetite: Tensor
    """[N] risk appetite from this bar on."""
    targets: Tensor
    """[N, K] the specialists' actions."""
    next_books: Tensor
    """[N, K] the specialists' books from this bar on."""
    exposure: Tensor
    """[N, K] exposures wanted of the risk layer, risk units: budget x book."""


OUTPUTS = HierarchyStep._fields


class HierarchyNetwork(nn.Module):
    """The joint game's decision as a pure function; everything it remembers goes in and comes out.

    Inputs, in order: the meta-controller's observation `[N, d]`, each group's observations
    `[N, m d]` (instruments one behind the other), then `age` [N] (int64: bars since the start, 0 at the
    first), `budgets` [N, G], `appetite` [N] and `books` [N, K] as they were after the bar before. At age 0
    budgets and appetite are ignored and books must be zero. Where `context` is on, the goal column of the
    specialists' observations is filled in here from the budgets decided in the same bar; what stands there
    is ignored.
    """

    def __init__(self, bundles: Mapping[str, PolicyBundle], spec: PipelineSpec, *, context: bool) -> None:
        super().__init__()
        missing = [agent for agent in (META, *spec.groups) if agent not in bundles]
        if missing:
            raise UsageError(f"The hierarchy lacks the bundles of {missing}; it has {sorted(bundles)}.")
        symbols = spec.environment.instruments
        self.groups = spec.groups
        self.context = context
        self.every = spec.phase2.decision_bars
        self.smoothing = spec.phase2.budget_smoothing
        self.limit = spec.phase2.budget_limit
        self.rate, self.range = spec.environment.adjustment_rate, spec.environment.target_range
        self.meta: Actor = bundles[META].actor
        self.specialists = nn.ModuleList(bundles[group].actor for group in self.groups)
        self.members = [len(spec.members(group)) for group in self.groups]
        self.goals = [bundles[group].layout.slice("goal").start for group in self.groups]
        behind = [symbol for group in self.groups for symbol in spec.members(group)]
        self.order = [behind.index(symbol) for symbol in symbols]
        self.group_of = [self.groups.index(spec.catalogue.instruments[symbol].group) for symbol in symbols]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return (*(f"{agent}_observation" for agent in (META, *self.groups)), *STATE)

    def forward(self, *inputs: Tensor) -> HierarchyStep:
        """Return the step for `inputs` in the order of the class's description."""
        meta, observations = inputs[0], inputs[1 : 1 + len(self.groups)]
        age, budgets, appetite, books = inputs[1 + len(self.groups) :]
        next_budgets, next_appetite = self._allocated(self.meta(meta), age, budgets, appetite)
        said = [self._said(place, seen, next_budgets) for place, seen in enumerate(observations)]
        targets = torch.cat(said, dim=1)[:, self.order]
        next_books = books + self.rate * (self.range * targets - books)
        exposure = next_budgets[:, self.group_of] * next_books
        return HierarchyStep(next_budgets, next_appetite, targets, next_books, exposure)

    def _allocated(self, word: Tensor, age: Tensor, budgets: Tensor, appetite: Tensor) -> tuple[Tensor, Tensor]:
        """Return budgets and appetite after the meta's `word` [N, G + 1], which counts at decisions only."""
        count = len(self.groups)
        desire = torch.sigmoid(word[:, count])
        wanted = torch.softmax(word[:, :count], dim=1) * (desire * self.limit).unsqueeze(1)
        deciding = age % self.every == 0
        smoothed = budgets + self.smoothing * (wanted - budgets)
        smoothed = torch.where((age == 0).unsqueeze(1), wanted, smoothed)
        return torch.where(deciding.unsqueeze(1), smoothed, budgets), torch.where(deciding, desire, appetite)

    def _said(self, place: int, observation: Tensor, budgets: Tensor) -> Tensor:
        """Return the targets `[N, m]` of one group."""
        actor, members, at = self.specialists[place], self.members[place], self.goals[place]
        seen = observation.reshape(-1, members, observation.shape[1] // members)
        if self.context:
            goal = (budgets[:, place] - 1.0).reshape(-1, 1, 1) + torch.zeros_like(seen[:, :, :1])
            seen = torch.cat([seen[:, :, :at], goal, seen[:, :, at + 1 :]], dim=2)
        said: Tensor = actor(seen.reshape(-1, seen.shape[2]))
        return said.reshape(-1, members)
