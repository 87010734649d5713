"""`MarketGame`: who acts, what each sees, how choices become exposure, how each is paid. Rules, no state."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.spaces import Actions, Normaliser, ObservationLayout, unchanged
from mtquant.sim.kernel import StepResult
from mtquant.sim.simulator import MarketSim
from mtquant.types import Array, Bool, Float, Int

PARTS = "parts"
"""Name of the memory that holds the parts of the last reward, `[N, P]`."""


@dataclass
class Table:
    """What rules may look at: the accounts, the game's own memory and what was said in this bar."""

    sim: MarketSim
    memory: dict[str, Array]
    """Arrays whose first axis is the row; part of every checkpoint."""
    said: dict[str, Float] = field(default_factory=dict)
    """Actions of the agents that spoke in this bar, `[N, a]`, clipped to their bounds."""


class MarketGame(ABC):
    """Rules over a dataset. `agents` is the speaking order; later agents hear earlier ones.

    `observe` works for every agent at any time: an agent that has not spoken counts as keeping to what
    it last decided.
    """

    agents: tuple[str, ...]
    joint = False
    """Whether the risk layer's stop-loss of phase 3 applies."""
    decision_bars = 1
    """Episodes have a multiple of this many bars."""
    name = "game_v0"
    parts: tuple[str, ...] = ()
    """Names of the parts of the reward that the game keeps in its memory `parts`."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        self.dataset = dataset
        self.spec = spec
        self.unit_risk = spec.environment.target_volatility * dataset.unit_risk

    def moves(self, t: Int) -> Float:
        """Return `[N, K]` the price moves from the close of t to the close of t + 1, in volatilities known at t."""
        close, scale = self.dataset.market.close, self.dataset.point_volatility
        return (close[t + 1] - close[t]) / scale[t]

    @property
    def slots(self) -> int:
        """Instruments per row."""
        return len(self.dataset.market.symbols)

    def draw_slots(self, rng: np.random.Generator, rows: int) -> Int:
        """Return `[rows, k]` the instruments of new episodes."""
        return np.repeat(np.arange(self.slots)[None, :], rows, axis=0)

    def memory(self, rows: int) -> dict[str, Array]:
        """Return the game's memory at the start of an episode."""
        return {}

    def reset_memory(self, memory: dict[str, Array], rows: Bool, rng: np.random.Generator) -> None:
        """Reset the memory of `rows` [N] in place."""
        fresh = self.memory(len(rows))
        for name, array in memory.items():
            array[rows] = fresh[name][rows]

    def noise_state(self, agent: str, table: Table) -> Array | None:
        """Return `[B, q, m]` what later positions depend on, before the action is drawn; None: not offered.

        One entry per sample of the agent (B) and shock (q); see `learning.ppo.noise_variates`.
        """
        return None

    def noise_shock(self, agent: str, table: Table, result: StepResult) -> Array:
        """Return `[B, q]` the price moves of the bar, which no action changes."""
        raise KeyError(agent)

    def state(self, table: Table) -> Array:
        """Return `[N, s]` what a centralised critic sees: by default the observations, one behind the other."""
        return np.concatenate([self.observe(agent, table) for agent in self.agents], axis=1, dtype=np.float32)

    def market_scale(self, agent: str) -> Float:
        """Return `[d]` the standard deviation of what `agent` sees of the market; 0: not noisy, not of the market."""
        return np.zeros(self.layout(agent).width)

    def input_normaliser(self, agent: str) -> Normaliser:
        """Return what a network does to observations of `agent` first; by default nothing."""
        return unchanged(self.layout(agent).width)

    @abstractmethod
    def layout(self, agent: str) -> ObservationLayout:
        """Return what `agent` sees."""

    @abstractmethod
    def actions(self, agent: str) -> Actions:
        """Return what `agent` may choose."""

    @abstractmethod
    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, d]` the observation of `agent`, from bars up to and including t."""

    @abstractmethod
    def decode(self, table: Table) -> Float:
        """Return the wanted exposures `[N, k]` of what was said, updating the memory."""

    @abstractmethod
    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return each agent's reward `[N]`, updating the memory."""


class TeamMarketGame(MarketGame):
    """A game whose agents decide together what one account holds: they have one noise."""

    def noise_state(self, agent: str, table: Table) -> Array:
        """Return `[N, k, 2]` one, and the exposure held, of each slot."""
        held = table.sim.exposure()
        return np.stack([np.ones_like(held), held], axis=2, dtype=np.float32)

    def noise_shock(self, agent: str, table: Table, result: StepResult) -> Array:
        """Return `[N, k]` the price move of each slot's instrument."""
        moved = np.take_along_axis(self.moves(result.t), np.asarray(table.sim.state.slots), axis=1)
        return moved.astype(np.float32)
