"""What a deviation from a policy's mean action was worth: the ledger, differentiated along the prices that came.

A rollout is played again by the same kernel, on torch, and the portfolio's utility is differentiated by every action
taken. Prices do not depend on actions, so the rest of the return, which is nearly all of its variance, is the same with
and without the deviation and is left out: the advantage of an action is deviation x derivative. This is the difference
reward of Wolpert and Tumer (2002) with the policy's own mean action as what would have happened otherwise, to first
order; derivatives through a known model with the noise that came are those of Heess et al. (2015, SVG) and Xu et al.
(2022, SHAC). Agents that react to what others hold are taken not to: only the meta-controller sees positions.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import array_api_compat.torch as torch_namespace
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.game import Table
from mtquant.envs.games.joint import META, JointGame
from mtquant.envs.spaces import ObservationLayout
from mtquant.envs.specialist_view import POSITION_SCALE
from mtquant.sim.kernel import State, step
from mtquant.sim.simulator import MarketSim
from mtquant.types import Array, Bool, Float


class Played(NamedTuple):
    """One bar of a rollout after everybody spoke and before it was played; N rows, K instruments, G groups."""

    state: State
    """The accounts."""
    start: Bool
    """[N] whether the bar is an episode's first."""
    said: Mapping[str, Float]
    """`[N, a]` what each agent said, within its bounds; the meta's in bars of decision only."""
    books: Float
    """[N, K]"""
    budgets: Float
    """[N, G]"""

    @classmethod
    def of(cls, table: Table) -> "Played":
        """Return the bar that `table` is about to play."""
        memory = table.memory
        said = {agent: np.array(word) for agent, word in table.said.items()}
        return cls(table.sim.state, memory["age"] == 0, said, memory["books"].copy(), memory["budgets"].copy())


class Credit(NamedTuple):
    """Derivatives of utility summed over a rollout, in u0, by what was said: `[S, N, a]` per agent.

    The meta's S are its decisions.
    """

    portfolio: dict[str, Float]
    """Of the portfolio's utility."""
    own: dict[str, Float]
    """Of each instrument's stand-alone utility; specialists only, empty where it was not asked for."""


class CounterfactualCredit:
    """Differentiates rollouts of one joint game of `rows` rows."""

    def __init__(self, game: JointGame, dataset: Dataset, spec: PipelineSpec, rows: int) -> None:
        self.game = game
        self.sim = MarketSim(dataset, spec, rows=rows, slots=game.slots, joint=game.joint, xp=torch_namespace)
        self.correlation = torch.from_numpy(np.array(dataset.correlation))
        self.group_of = torch.from_numpy(game.group_of)

    def of(self, played: Sequence[Played], slopes: Mapping[str, Float], *, own: bool) -> Credit:
        """Return what every action of a rollout was worth at the margin; `own`: to own books too.

        slopes `[S, N, m, 2]` per group: how mean actions move with own book and budget (`slopes_of`).
        """
        said = [{a: torch.from_numpy(word).requires_grad_() for a, word in bar.said.items()} for bar in played]
        portfolio, alone = self._utilities(played, said, {g: torch.from_numpy(s) for g, s in slopes.items()})
        keys = [(index, agent) for index, words in enumerate(said) for agent in words]
        found = _gradient(portfolio, said, keys, again=own)
        specialists = [key for key in keys if key[1] != META]
        return Credit(found, _gradient(alone, said, specialists) if own else {})

    def _utilities(
        self, played: Sequence[Played], said: Sequence[Mapping[str, Tensor]], slopes: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Play the rollout again; return the sums of the portfolio's and of the instruments' own utilities."""
        portfolio, alone = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        after: State | None = None
        books = budgets = torch.zeros(0)
        for index, (bar, words) in enumerate(zip(played, said, strict=True)):
            state = State(*(torch.from_numpy(np.array(array)) for array in bar.state))
            was = torch.from_numpy(bar.books), torch.from_numpy(bar.budgets)
            fresh = torch.from_numpy(bar.start)[:, None]
            if after is None:
                books, budgets = was
            else:
                # An episode's first bar owes nothing to what was done before it.
                books, budgets = torch.where(fresh, was[0], books), torch.where(fresh, was[1], budgets)
                state = state._replace(
                    units=torch.where(fresh, state.units, after.units),
                    cash=torch.where(fresh[:, 0], state.cash, after.cash),
                    equity=torch.where(fresh[:, 0], state.equity, after.equity),
                )
            budgets = self._budgets(words.get(META), budgets, fresh)
            books = self._books(words, {g: slope[index] for g, slope in slopes.items()}, books, budgets)
            target = budgets[:, self.group_of] * books
            after, result = step(state, target, self.sim.bars, self.sim.rules, torch_namespace)
            net = ((result.gross - result.cost) / (result.equity_before * self.game.unit_risk)[:, None]).sum()
            x, half = result.exposure, 0.5 * self.game.aversion
            portfolio = portfolio + net - half * ((x @ self.correlation) * x).sum()
            alone = alone + net - half * (x * x).sum()
        return portfolio, alone

    def _budgets(self, word: Tensor | None, budgets: Tensor, fresh: Tensor) -> Tensor:
        """Return budgets after the meta's `word` [N, G + 1], as `JointGame.budgets` does."""
        if word is None:
            return budgets
        groups = budgets.shape[1]
        appetite = torch.sigmoid(word[:, groups:])
        wanted = torch.softmax(word[:, :groups], dim=1) * appetite * self.game.budget_map.limit
        return torch.where(fresh, wanted, budgets + self.game.smoothing * (wanted - budgets))

    def _books(
        self, said: Mapping[str, Tensor], slopes: Mapping[str, Tensor], books: Tensor, budgets: Tensor
    ) -> Tensor:
        """Return books after one partial adjustment; what specialists do follows changes of books and budgets."""
        # Zero in value: only derivatives pass.
        moved, drift = books - books.detach(), (budgets - budgets.detach())[:, self.group_of]
        out = books.clone()
        for group, slots in self.game.members.items():
            reaction = slopes[group][..., 0] * moved[:, slots] + slopes[group][..., 1] * drift[:, slots]
            wanted = torch.clamp(said[group] + reaction, -1.0, 1.0)
            out[:, slots] = books[:, slots] + self.game.rate * (self.game.range * wanted - books[:, slots])
        return out


def slopes_of(policy: ActorCriticPolicy, observation: Array, layout: ObservationLayout) -> Float:
    """Return `[..., 2]` how the mean action moves with own book and budget, at observations `[..., d]`."""
    seen = torch.from_numpy(np.asarray(observation, dtype=np.float32)).requires_grad_()
    mean = policy.get_distribution(seen.reshape(-1, seen.shape[-1])).mode()
    (gradient,) = torch.autograd.grad(mean.sum(), seen)
    columns = [layout.slice("position").start, layout.slice("goal").start]
    out: Float = gradient[..., columns].double().numpy() * np.array([POSITION_SCALE, 1.0])
    return out


def _gradient(
    total: Tensor, said: Sequence[Mapping[str, Tensor]], keys: Sequence[tuple[int, str]], *, again: bool = False
) -> dict[str, Float]:
    """Return `[S, N, a]` per agent the derivatives of `total` by the words at `keys`."""
    found = torch.autograd.grad(total, [said[index][agent] for index, agent in keys], retain_graph=again)
    by_agent: dict[str, list[Float]] = {}
    for (_, agent), gradient in zip(keys, found, strict=True):
        by_agent.setdefault(agent, []).append(gradient.numpy())
    return {agent: np.stack(gradients) for agent, gradients in by_agent.items()}
