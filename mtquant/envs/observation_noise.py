"""`ObservationNoise`: agents see the market through noise; prices, accounts and payments are as they are."""

from collections.abc import Mapping

import numpy as np

from mtquant.context import Streams
from mtquant.envs.game import MarketGame
from mtquant.types import Array, Bool, Float, Float32, Int

TAPE_BARS = 4096
"""Bars after which the noise of a row repeats itself; longer than any memory of an agent."""


class ObservationNoise:
    """Gaussian noise on what `game.market_scale` says is seen of the market, by row.

    An observation does not change when it is asked for again: the noise of row n at bar t is entry t + offset_n of
    a tape of standard normal numbers, and each episode draws its offset. Nothing is drawn where nothing is noisy.
    """

    def __init__(self, game: MarketGame, rows: int) -> None:
        self.game = game
        self.level: Float = np.zeros(rows)
        self.offset: Int = np.zeros(rows, dtype=np.int64)
        self.active = False
        self._tapes: dict[str, Float32] = {}

    def reset(self, rows: Bool, level: Float | None, rng: np.random.Generator) -> None:
        """Begin episodes in `rows` [N] with one `level` for each; None: without noise."""
        if level is None or not level.any():
            if self.active:
                self.level[rows] = 0.0
                self.active = bool(self.level.any())
            return
        self.level[rows] = level
        self.offset[rows] = rng.integers(0, TAPE_BARS, size=len(level))
        self.active = True

    def add(self, agent: str, seen: Array, t: Int) -> Array:
        """Return `seen` [N, d] of `agent` at bars `t` [N] with its noise."""
        if agent not in self._tapes:
            scale = self.game.market_scale(agent)
            normal = Streams(0).rng("observation noise", agent).standard_normal((TAPE_BARS, len(scale)))
            self._tapes[agent] = (scale * normal).astype(np.float32)
        drawn = self._tapes[agent].take((t + self.offset) % TAPE_BARS, axis=0)
        noisy: Array = seen + self.level[:, None].astype(np.float32) * drawn
        return noisy

    def state_dict(self) -> dict[str, Array]:
        """Return levels and offsets."""
        return {"level": self.level.copy(), "offset": self.offset.copy()}

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Continue from `state_dict`."""
        self.level, self.offset = np.array(arrays["level"]), np.array(arrays["offset"])
        self.active = bool(self.level.any())
