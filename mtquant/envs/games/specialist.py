"""Phase 1: one specialist trades one instrument of its group per row."""

import numpy as np

from mtquant.config.agents import PipelineSpec, RewardSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.game import MarketGame, Table
from mtquant.envs.rewards import build_reward, outcome_of
from mtquant.envs.spaces import ActionMap, ObservationLayout
from mtquant.envs.specialist_view import SpecialistView
from mtquant.sim.kernel import StepResult
from mtquant.sim.limits import quadratic
from mtquant.types import Array, Float, Int


class SpecialistGame(MarketGame):
    """One agent, named like its group. Its action in [-1, 1] times `target_range` is the exposure it moves towards.

    Every bar the exposure goes `adjustment_rate` of the way from the present to the target.
    """

    name = "specialist_v0"

    def __init__(self, dataset: Dataset, spec: PipelineSpec, group: str, reward: RewardSpec | None = None) -> None:
        super().__init__(dataset, spec)
        self.agents = (group,)
        self.members = np.array([dataset.market.symbols.index(s) for s in spec.members(group)])
        self.view = SpecialistView(dataset, spec)
        self.reward_fn = build_reward(reward or spec.phase1.reward, self.unit_risk)
        self.rate = spec.environment.adjustment_rate
        self.range = spec.environment.target_range

    @property
    def slots(self) -> int:
        """One instrument per row."""
        return 1

    def draw_slots(self, rng: np.random.Generator, rows: int) -> Int:
        """Draw an instrument of the group for each row."""
        return rng.choice(self.members, size=(rows, 1))

    def memory(self, rows: int) -> dict[str, Array]:
        """Return the memory of the reward."""
        return {"reward": np.zeros((rows, self.reward_fn.memory))}

    def layout(self, agent: str) -> ObservationLayout:
        """Return the specialist's observation."""
        return self.view.layout

    def actions(self, agent: str) -> ActionMap:
        """Return one target in [-1, 1]."""
        return ActionMap(1, -1.0, 1.0)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, d]` the instrument's features and the position held."""
        state = table.sim.state
        return self.view.alone(state.t, state.slots, table.sim.exposure())[:, 0]

    def noise_state(self, agent: str, table: Table) -> Array:
        """Return `[N, 1, 1 + S]` the position and the signals."""
        state = table.sim.state
        seen = self.view.signals_of(state.t, state.slots)
        return np.concatenate([table.sim.exposure()[:, :, None], seen], axis=2, dtype=np.float32)

    def noise_shock(self, agent: str, table: Table, result: StepResult) -> Array:
        """Return `[N, 1]` the instrument's price move."""
        moved = np.take_along_axis(self.moves(result.t), table.sim.state.slots, axis=1)
        return moved.astype(np.float32)

    def decode(self, table: Table) -> Float:
        """Return the exposure after one partial adjustment."""
        held = table.sim.exposure()
        wanted = table.said.get(self.agents[0])
        return held if wanted is None else held + self.rate * (self.range * wanted - held)

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the reward of `spec.phase1.reward`."""
        risk = quadratic(result.exposure, np.ones((1, 1)), np)
        outcome = outcome_of(result, risk, self.unit_risk)
        paid, table.memory["reward"] = self.reward_fn(outcome, table.memory["reward"])
        return {self.agents[0]: paid}
