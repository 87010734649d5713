"""What the games that watch one instrument share: who sees which bars, and what an episode remembers."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtquant.config.market_games import WindowSpec
from mtquant.data.indicators import Indicator
from mtquant.envs.columns import Window, column_table
from mtquant.envs.game import PARTS, Table, TeamMarketGame
from mtquant.envs.ground import Ground
from mtquant.envs.spaces import ObservationLayout
from mtquant.envs.track import drawdown_growth, fresh_track
from mtquant.errors import ConfigError
from mtquant.sim.kernel import StepResult
from mtquant.types import Array, Bool, Float, Float32, Int

DRAWDOWN_SCALE = 10.0
"""Drawdowns are shown in u0 over this: of order one."""


class WindowGame(TeamMarketGame):
    """One instrument per row; observations are windows of the last bars."""

    def __init__(
        self,
        ground: Ground,
        world: WindowSpec,
        steps: int,
        columns: Mapping[str, Sequence[int]],
        own: Mapping[str, Indicator] | None = None,
    ) -> None:
        self.columns = columns
        super().__init__(*ground)
        if self.spec.environment.warmup_steps < world.matrix_shape[0] - 1:
            raise ConfigError(
                f"A window of {world.matrix_shape[0]} bars needs as many before the first decision; "
                f"`environment.warmup_steps` is {self.spec.environment.warmup_steps}."
            )
        wrong = [c for columns in self.columns.values() for c in columns if not 0 <= c < len(world.columns)]
        if wrong:
            raise ConfigError(
                f"`observation_columns` names {wrong}; the matrix has columns 0 to {len(world.columns) - 1}."
            )
        self.world, self.steps = world, steps
        table = column_table(self.dataset, world.columns, own)
        self.window = Window(table, world.columns, world.matrix_shape[0], world.observation_noise)

    @property
    def slots(self) -> int:
        """One instrument per row."""
        return 1

    def draw_slots(self, rng: np.random.Generator, rows: int) -> Int:
        """Draw an instrument for each row."""
        return rng.integers(0, len(self.dataset.market.symbols), size=(rows, 1))

    def memory(self, rows: int) -> dict[str, Array]:
        """Return a fresh track; games add their own."""
        return fresh_track(rows) | {"noise": np.zeros(rows, dtype=np.int64), PARTS: np.zeros((rows, len(self.parts)))}

    def reset_memory(self, memory: dict[str, Array], rows: Bool, rng: np.random.Generator) -> None:
        """Reset the memory of `rows` [N] and draw where their noise begins."""
        super().reset_memory(memory, rows, rng)
        memory["noise"][rows] = self.window.draw_offset(rng, int(rows.sum()))

    def layout(self, agent: str) -> ObservationLayout:
        """Return the window's layout, the same for every agent."""
        return self.window.layout()

    def seen(self, agent: str, table: Table) -> Array:
        """Return `[N, bars, C]` the window of `agent`."""
        state = table.sim.state
        held = table.sim.exposure()[:, 0]
        return self.window.seen(state.t, state.slots[:, 0], self.columns[agent], table.memory["noise"], held)

    def towards(self, wanted: Float, table: Table) -> Float:
        """Return `[N, 1]` the exposure after one partial adjustment towards `wanted` [N]."""
        held = table.sim.exposure()
        out: Float = held + self.world.adjustment_rate * (wanted[:, None] - held)
        return out

    def pay(self, table: Table, *parts: Float) -> dict[str, Float]:
        """Keep the parts [N] of the reward, in the order of their names, and return their sum for every agent."""
        scaled = self.world.reward_scaling * np.stack(parts, axis=1)
        table.memory[PARTS] = scaled
        total = scaled.sum(axis=1)
        return {agent: total.copy() for agent in self.agents}

    def fell(self, table: Table, result: StepResult) -> Float:
        """Return `[N]` by how much the largest drawdown grew in the bar, in u0."""
        return drawdown_growth(table.memory, result.equity / self.spec.environment.initial_capital, self.unit_risk)

    def summary(self, table: Table, lengths: Sequence[int]) -> list[Float32]:
        """Return the means of all columns over the last bars, without noise, one `[N, C]` per length."""
        bars = self._bars(table)
        return [bars[:, -min(n, self.window.bars) :].mean(axis=1) for n in lengths]

    def deviation(self, table: Table) -> Float32:
        """Return `[N, C]` the standard deviation of all columns over the window."""
        out: Float32 = self._bars(table).std(axis=1)
        return out

    def account(self, table: Table) -> Float:
        """Return `[N, 3]` exposure, drawdown and share of the episode that is left."""
        state = table.sim.state
        equity = state.equity / self.spec.environment.initial_capital
        drawdown = (1.0 - equity / np.maximum(table.memory["peak"], equity)) / self.unit_risk / DRAWDOWN_SCALE
        return np.stack([table.sim.exposure()[:, 0], drawdown, (state.end - state.t) / self.steps], axis=1)

    def _bars(self, table: Table) -> Float32:
        state = table.sim.state
        index = state.t[:, None] + np.arange(1 - self.window.bars, 1)
        out: Float32 = self.window.table[index, state.slots[:, 0][:, None]]
        return out
