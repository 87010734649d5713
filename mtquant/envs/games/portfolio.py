"""One agent that names the exposure of every instrument directly: baselines and reference policies."""

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.game import MarketGame, Table
from mtquant.envs.rewards import build_reward, outcome_of
from mtquant.envs.spaces import ActionMap, ObservationLayout
from mtquant.sim.kernel import StepResult
from mtquant.sim.limits import quadratic
from mtquant.types import Array, Float

AGENT = "portfolio"
BOUND = 50.0
"""Largest exposure the agent can ask for; the risk layer decides what it gets."""


class PortfolioGame(MarketGame):
    """The observation is the bar's index and the exposures held; the action the exposures wanted next.

    `single` gives each row one instrument (`slots` drawn over all), for stand-alone references.
    """

    name = "portfolio_v0"
    agents = (AGENT,)

    def __init__(self, dataset: Dataset, spec: PipelineSpec, *, joint: bool = True) -> None:
        super().__init__(dataset, spec)
        self.joint = joint
        self.reward_fn = build_reward(spec.phase2.reward, self.unit_risk)

    def memory(self, rows: int) -> dict[str, Array]:
        """Return the memory of the reward."""
        return {"reward": np.zeros((rows, self.reward_fn.memory))}

    def layout(self, agent: str) -> ObservationLayout:
        """Return the bar's index and the exposures."""
        return ObservationLayout((("bar", 1), ("exposure", self.slots)))

    def actions(self, agent: str) -> ActionMap:
        """Return one exposure per instrument."""
        return ActionMap(self.slots, -BOUND, BOUND)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, 1 + K]` float64."""
        return np.concatenate([table.sim.state.t[:, None].astype(np.float64), table.sim.exposure()], axis=1)

    def decode(self, table: Table) -> Float:
        """Return what was asked for, or what is held."""
        wanted = table.said.get(AGENT)
        return table.sim.exposure() if wanted is None else wanted

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the portfolio's utility."""
        risk = quadratic(result.exposure, self.dataset.correlation, np)
        outcome = outcome_of(result, risk, self.unit_risk)
        paid, table.memory["reward"] = self.reward_fn(outcome, table.memory["reward"])
        return {AGENT: paid}
