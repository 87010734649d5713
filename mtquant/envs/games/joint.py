"""Phases 2 and 3: meta-controller and specialists run one portfolio together.

Each specialist keeps a book in own units, as if it traded alone; the portfolio holds budget x book. The meta
speaks first, every `decision_bars` bars; specialists follow in every bar and, where `context` is on,
see their budget and what their peers see and hold.
"""

import numpy as np

from mtquant.config.agents import PipelineSpec, RewardSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.envs.aec import MarketAECEnv
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame, Table
from mtquant.envs.meta_view import PROFIT_DECAY, MetaView
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.rewards import build_reward, outcome_of
from mtquant.envs.spaces import ActionMap, BudgetMap, ObservationLayout
from mtquant.envs.specialist_view import SpecialistView
from mtquant.sim.kernel import StepResult
from mtquant.sim.limits import quadratic, times
from mtquant.types import Array, Bool, Float

META = "meta"
META_BOUND = 6.0
"""Bound of the meta-controller's logits."""


class JointGame(MarketGame):
    """Agents: `meta`, then one per group.

    `context` shows specialists their budget, peers and macro block (phase 3); `joint` selects the
    stop-loss of phase 3. Rewards: the portfolio's utility for the meta, the sum of its instruments'
    difference rewards for each specialist.
    """

    name = "joint_v0"

    def __init__(
        self, dataset: Dataset, spec: PipelineSpec, *, context: bool, joint: bool, reward: RewardSpec | None = None
    ) -> None:
        super().__init__(dataset, spec)
        self.agents = (META, *spec.groups)
        self.context = context
        self.joint = joint
        self.decision_bars = spec.phase2.decision_bars
        self.smoothing = spec.phase2.budget_smoothing
        symbols = dataset.market.symbols
        self.members = {g: np.array([symbols.index(s) for s in spec.members(g)]) for g in spec.groups}
        self.group_of = np.array([spec.groups.index(spec.catalogue.instruments[s].group) for s in symbols])
        self.view = SpecialistView(dataset, spec)
        self.meta_view = MetaView(dataset, spec)
        self.budget_map = BudgetMap(len(spec.groups), spec.phase2.budget_limit)
        self.reward_fn = build_reward(reward or spec.phase2.reward, self.unit_risk)
        self.aversion = spec.phase3.reward.risk_aversion * self.unit_risk
        self.rate = spec.environment.adjustment_rate
        self.range = spec.environment.target_range

    def memory(self, rows: int) -> dict[str, Array]:
        """Return books and profits at zero and budgets at the middle of their range."""
        groups = len(self.members)
        neutral = 0.5 * self.budget_map.limit / groups
        return {
            "books": np.zeros((rows, self.slots)),
            "budgets": np.full((rows, groups), neutral),
            "appetite": np.full(rows, 0.5),
            "profit": np.zeros((rows, self.slots)),
            "age": np.zeros(rows, dtype=np.int64),
            "reward": np.zeros((rows, self.reward_fn.memory)),
        }

    def layout(self, agent: str) -> ObservationLayout:
        """Return the state of the meta, or the instruments' observations one behind the other."""
        if agent == META:
            return self.meta_view.layout
        blocks = self.view.layout.blocks
        count = len(self.members[agent])
        return ObservationLayout(tuple((f"{name}.{i}", width) for i in range(count) for name, width in blocks))

    def market_scale(self, agent: str) -> Float:
        """Return `[d]` as `layout` has it."""
        if agent == META:
            return self.meta_view.market_scale(self.dataset)
        alone = self.view.market_scale(self.dataset, context=self.context)
        return np.tile(alone, len(self.members[agent]))

    def actions(self, agent: str) -> ActionMap:
        """Return G + 1 logits for the meta, one target per instrument for a specialist."""
        if agent == META:
            return ActionMap(len(self.members) + 1, -META_BOUND, META_BOUND)
        return ActionMap(len(self.members[agent]), -1.0, 1.0)

    def deciding(self, table: Table) -> Bool:
        """Return `[N]` whether the meta's word counts in this bar."""
        out: Bool = table.memory["age"] % self.decision_bars == 0
        return out

    def budgets(self, table: Table) -> tuple[Float, Float]:
        """Return budgets `[N, G]` and appetite `[N]` after what the meta said, if it said anything."""
        budgets, appetite = table.memory["budgets"], table.memory["appetite"]
        word = table.said.get(META)
        if word is None:
            return budgets, appetite
        wanted, desire = self.budget_map.decode(word)
        step = np.where(table.memory["age"] == 0, 1.0, self.smoothing)[:, None]
        counts = self.deciding(table)
        return (
            np.where(counts[:, None], budgets + step * (wanted - budgets), budgets),
            np.where(counts, desire, appetite),
        )

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, d]`; a specialist's instruments lie one behind the other."""
        memory, state = table.memory, table.sim.state
        if agent == META:
            return self.meta_view.observe(
                state.t, table.sim.exposure(), memory["books"], memory["budgets"], memory["profit"]
            )
        slots = self.members[agent]
        books = memory["books"][:, slots]
        goals = self.budgets(table)[0][:, self.group_of[slots]] if self.context else books
        seen = self.view.together(state.t, slots, books, goals, context=self.context)
        return seen.reshape(len(seen), -1)

    def decode(self, table: Table) -> Float:
        """Return budget x book after one partial adjustment of each book."""
        memory = table.memory
        memory["budgets"], memory["appetite"] = self.budgets(table)
        for group, slots in self.members.items():
            wanted = table.said.get(group)
            if wanted is not None:
                books = memory["books"][:, slots]
                memory["books"][:, slots] = books + self.rate * (self.range * wanted - books)
        memory["age"] = memory["age"] + 1
        out: Float = memory["budgets"][:, self.group_of] * memory["books"]
        return out

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the portfolio's utility and each specialist's difference reward."""
        memory = table.memory
        unit = (result.equity_before * self.unit_risk)[:, None]
        scale = np.maximum(memory["budgets"][:, self.group_of], 0.05)
        alone = (result.gross - result.cost) / unit / scale
        memory["profit"] = PROFIT_DECAY * memory["profit"] + (1.0 - PROFIT_DECAY) * alone
        risk = quadratic(result.exposure, self.dataset.correlation, np)
        outcome = outcome_of(result, risk, self.unit_risk)
        utility, memory["reward"] = self.reward_fn(outcome, memory["reward"])
        marginal = self.difference(result)
        rewards = {META: utility}
        for group, slots in self.members.items():
            rewards[group] = marginal[:, slots].sum(axis=1)
        return rewards

    def difference(self, result: StepResult) -> Float:
        """Return `[N, K]` each instrument's marginal contribution to the bar's utility.

        D_i = net_i - g/2 (x_i^2 + 2 x_i sum_j R_ij x_j), the utility less what it would be with x_i = 0
        and i's trades undone (Wolpert and Tumer, 2002).
        """
        x = result.exposure
        net = (result.gross - result.cost) / (result.equity_before * self.unit_risk)[:, None]
        cross: Float = times(x, self.dataset.correlation)
        marginal: Float = net - 0.5 * self.aversion * x * (2.0 * cross - x)
        return marginal

    def noise_state(self, agent: str, table: Table) -> Array:
        """Return what later profits depend on before `agent` acts.

        A specialist: `[N m, 1, 2 + S]` budget, budget x book and budget x signals of each instrument. The
        meta (phase 2, where books do not react to it): `[N, G, 7]` one, budget and macro block per group.
        """
        memory, t = table.memory, table.sim.state.t
        rows = len(t)
        if agent == META:
            budgets = memory["budgets"][:, :, None]
            macro = np.broadcast_to(self.view.macro.take(t, axis=0)[:, None], (rows, budgets.shape[1], 5))
            return np.concatenate([np.ones_like(budgets), budgets, macro], axis=2, dtype=np.float32)
        slots = self.members[agent]
        budget = self.budgets(table)[0][:, self.group_of[slots], None]
        seen = self.view.signals_of(t, np.broadcast_to(slots, (rows, len(slots))))
        books = memory["books"][:, slots, None]
        state = np.concatenate([budget, budget * books, budget * seen], axis=2, dtype=np.float32)
        return state.reshape(rows * len(slots), 1, -1)

    def noise_shock(self, agent: str, table: Table, result: StepResult) -> Array:
        """Return `[N m, 1]` each instrument's price move, or `[N, G]` each group's profit at budget one."""
        moved = self.moves(result.t)
        if agent == META:
            return np.asarray((moved * table.memory["books"]) @ self.meta_view.membership, dtype=np.float32)
        return moved[:, self.members[agent]].reshape(-1, 1).astype(np.float32)

    def central(self, table: Table) -> Array:
        """Return `[N, 2 K + G]` what a centralised critic sees beside an observation: exposures, books, budgets."""
        memory = table.memory
        return np.concatenate([table.sim.exposure(), memory["books"], memory["budgets"]], axis=1, dtype=np.float32)

    def own(self, result: StepResult) -> Float:
        """Return `[N, K]` each instrument's stand-alone utility net_i - g/2 x_i^2."""
        net = (result.gross - result.cost) / (result.equity_before * self.unit_risk)[:, None]
        alone: Float = net - 0.5 * self.aversion * result.exposure**2
        return alone


class JointTrainingEnv(MarketAECEnv):
    """The joint game of phase 3 as a PettingZoo environment; `batch` gives the N rows that are trained on."""

    def __init__(
        self, dataset: Dataset, spec: PipelineSpec, split: Split, *, context: bool = True, seed: int = 0
    ) -> None:
        game = JointGame(dataset, spec, context=context, joint=True, reward=spec.phase3.reward)
        super().__init__(game, split, seed)
        self.joint_game, self.split = game, split

    def batch(self, rows: int, rng: np.random.Generator) -> MultiAgentVecEnv:
        """Return N rows of the same game."""
        return MultiAgentVecEnv(GameEngine(self.joint_game, self.split, rows, rng))
