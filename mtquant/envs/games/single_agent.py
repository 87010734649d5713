"""One agent that sees and trades every instrument: what a hierarchy has to beat."""

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.game import MarketGame, Table
from mtquant.envs.rewards import build_reward, outcome_of
from mtquant.envs.spaces import ActionMap, Normaliser, ObservationLayout
from mtquant.envs.specialist_view import POSITION_SCALE, SpecialistView
from mtquant.sim.kernel import StepResult
from mtquant.sim.limits import quadratic
from mtquant.types import Array, Float

AGENT = "single"


class SingleAgentGame(MarketGame):
    """Actions in [-1, 1] times `target_range` are the exposures that the account moves towards, as specialists do.

    It sees the features of all instruments, what it holds and the macro block, and is paid the portfolio's utility.
    """

    name = "single_v0"
    agents = (AGENT,)
    joint = True

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        super().__init__(dataset, spec)
        self.view = SpecialistView(dataset, spec)
        self.reward_fn = build_reward(spec.phase3.reward, self.unit_risk)
        self.rate = spec.environment.adjustment_rate
        self.range = spec.environment.target_range
        self.clip = spec.features.clip

    def memory(self, rows: int) -> dict[str, Array]:
        """Return the memory of the reward."""
        return {"reward": np.zeros((rows, self.reward_fn.memory))}

    def layout(self, agent: str) -> ObservationLayout:
        """Return the features of one instrument after the other, the exposures held, the macro block."""
        features = self.slots * self.view.own_width
        return ObservationLayout(
            (("features", features), ("exposure", self.slots), ("macro", self.view.macro.shape[1]))
        )

    def normaliser(self) -> Normaliser:
        """Return the normaliser of train-split statistics; exposures and macro block are scaled already."""
        mean, std = np.zeros(self.layout(AGENT).width), np.ones(self.layout(AGENT).width)
        features = self.slots * self.view.own_width
        mean[:features] = np.tile(self.dataset.feature_mean, self.slots)
        std[:features] = np.tile(self.dataset.feature_std, self.slots)
        return Normaliser(mean.astype(np.float32), std.astype(np.float32), self.clip)

    def market_scale(self, agent: str) -> Float:
        """Return `[d]` train-split standard deviations of what is seen of the market; 0 for the exposures."""
        train = self.dataset.splits.train.mask(len(self.view.macro))
        features = np.tile(self.dataset.feature_std, self.slots)
        return np.concatenate([features, np.zeros(self.slots), self.view.macro[train].std(axis=0)])

    def actions(self, agent: str) -> ActionMap:
        """Return one target in [-1, 1] per instrument."""
        return ActionMap(self.slots, -1.0, 1.0)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, d]`."""
        t = table.sim.state.t
        seen = self.view.features.reshape(-1, self.slots * self.view.own_width).take(t, axis=0)
        held = POSITION_SCALE * table.sim.exposure()
        return np.concatenate([seen, held, self.view.macro.take(t, axis=0)], axis=1, dtype=np.float32)

    def noise_state(self, agent: str, table: Table) -> Array:
        """Return `[N, K, 1 + S]` exposure and signals of each instrument."""
        state = table.sim.state
        signals = self.view.signals_of(state.t, state.slots)
        return np.concatenate([table.sim.exposure()[:, :, None], signals], axis=2, dtype=np.float32)

    def noise_shock(self, agent: str, table: Table, result: StepResult) -> Array:
        """Return `[N, K]` each instrument's price move."""
        return self.moves(result.t).astype(np.float32)

    def decode(self, table: Table) -> Float:
        """Return the exposures after one partial adjustment."""
        held = table.sim.exposure()
        wanted = table.said.get(AGENT)
        return held if wanted is None else held + self.rate * (self.range * wanted - held)

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the portfolio's utility."""
        risk = quadratic(result.exposure, self.dataset.correlation, np)
        paid, table.memory["reward"] = self.reward_fn(outcome_of(result, risk, self.unit_risk), table.memory["reward"])
        return {AGENT: paid}
