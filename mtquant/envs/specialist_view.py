"""The observation of one instrument, the same in every phase.

Blocks: the instrument's features; own position, goal and phase flag; and *context*: each peer's signals
times its correlation with this instrument (that is how they enter the joint optimum), the sum of the same
over instruments of other groups, which member of the group this is, and the macro block. The context is
zero until phase 3, so a policy trained without it loads unchanged.

Positions of others are not shown: where they are the only channel between two agents, difference rewards
do not lead to the joint optimum, and training drifts away from it. Positions follow from past signals.
"""

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.spaces import ObservationLayout
from mtquant.sim.limits import times
from mtquant.types import Float, Float32, Int

POSITION_SCALE = 2.0
"""Positions are shown times this, so that typical ones (0.3 to 0.6) are of order one."""


class SpecialistView:
    """Builds observations `[N, m, d]` of m instruments of each row."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        symbols = dataset.market.symbols
        groups = [spec.catalogue.instruments[s].group for s in symbols]
        members = {g: [k for k, other in enumerate(groups) if other == g] for g in spec.groups}
        largest = max(len(m) for m in members.values())
        bars, count, width = dataset.features.shape
        self.features = np.ascontiguousarray(dataset.features, dtype=np.float32).reshape(bars * count, width)
        self.macro = np.asarray(dataset.macro, dtype=np.float32)
        self.signals = np.array(dataset.signal_columns, dtype=np.int64)
        self.count = count
        apart = np.array([[a != b for b in groups] for a in groups])
        self.across = np.where(apart, dataset.correlation, 0.0).astype(np.float32)
        """[K, K] correlation with instruments of other groups."""
        # peers of each instrument in cyclic order within its group; absent peers repeat the instrument at weight 0
        self.peers = np.tile(np.arange(count)[:, None], (1, largest - 1))
        self.weight = np.zeros((count, largest - 1), dtype=np.float32)
        self.identity = np.zeros((count, largest), dtype=np.float32)
        for group in members.values():
            for place, k in enumerate(group):
                self.identity[k, place] = 1.0
                for offset in range(1, len(group)):
                    peer = group[(place + offset) % len(group)]
                    self.peers[k, offset - 1] = peer
                    self.weight[k, offset - 1] = dataset.correlation[k, peer]
        per_peer = len(self.signals) + 1
        self.layout = ObservationLayout(
            (
                ("features", width), ("position", 1), ("goal", 1), ("phase", 1),
                ("peers", per_peer * (largest - 1)), ("others", len(self.signals)), ("identity", largest),
                ("macro", self.macro.shape[1]),
            )
        )
        self.context = slice(self.layout.slice("goal").start, self.layout.width)
        """Columns that carry nothing before phase 3 (goal, phase flag and context)."""
        self.own_width = width

    def normaliser(self, dataset: Dataset) -> tuple[Float32, Float32]:
        """Return mean and standard deviation per column; blocks other than features are scaled already."""
        mean, std = np.zeros(self.layout.width), np.ones(self.layout.width)
        mean[: self.own_width], std[: self.own_width] = dataset.feature_mean, dataset.feature_std
        return mean.astype(np.float32), std.astype(np.float32)

    def signals_of(self, t: Int, slots: Int) -> Float32:
        """Return `[N, m, S]` the signals of instruments `slots` [N, m] at bars `t` [N]."""
        seen = self.features.take((t[:, None] * self.count + slots).reshape(-1), axis=0)
        return seen[:, self.signals].reshape(*slots.shape, -1)

    def alone(self, t: Int, slots: Int, position: Float) -> Float32:
        """Return `[N, m, d]` at bars `t` [N] for instruments `slots` [N, m] holding `position` [N, m]."""
        rows, m = slots.shape
        out = np.zeros((rows, m, self.layout.width), dtype=np.float32)
        index = t[:, None] * self.count + slots
        out[:, :, : self.own_width] = self.features.take(index.reshape(-1), axis=0).reshape(rows, m, -1)
        out[:, :, self.own_width] = POSITION_SCALE * position
        return out

    def together(self, t: Int, slots: Int, books: Float, goals: Float, *, context: bool) -> Float32:
        """Return `[N, m, d]` of instruments `slots` [m]; with `context`, their goals and what others see.

        `books` [N, m] are own-unit positions, `goals` [N, m] budgets.
        """
        rows, m = len(t), len(slots)
        out = self.alone(t, np.broadcast_to(slots, (rows, m)), books)
        if not context:
            return out
        at = self.own_width + 1
        out[:, :, at] = goals - 1.0
        out[:, :, at + 1] = 1.0
        at += 2
        width = len(self.signals)
        signals = self.signals_of(t, np.broadcast_to(np.arange(self.count), (rows, self.count)))
        weight = self.weight[slots]
        block = np.empty((rows, m, weight.shape[1], width + 1), dtype=np.float32)
        block[..., :width] = signals[:, self.peers[slots]] * weight[None, :, :, None]
        block[..., width] = weight
        size = block.shape[2] * block.shape[3]
        out[:, :, at : at + size] = block.reshape(rows, m, size)
        at += size
        out[:, :, at : at + width] = np.einsum("mk,nks->nms", self.across[slots], signals)
        at += width
        out[:, :, at : at + self.identity.shape[1]] = self.identity[slots]
        at += self.identity.shape[1]
        out[:, :, at:] = self.macro.take(t, axis=0)[:, None, :]
        return out
