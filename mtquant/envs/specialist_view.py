"""The observation of one instrument, the same in every phase.

Blocks: the instrument's features; own position, goal and phase flag; and *context*: what the peers'
signals leave of this instrument's (its signals less their best linear prediction from those of the group,
and of all other instruments, scaled to unit variance) and the macro block. The joint optimum R^-1 a is a
multiple of exactly these remainders, and they are far better conditioned than the peers' signals beside
the own ones, which differ little where correlations are high. The context is zero until phase 3, so a
policy trained without it loads unchanged.

Positions of others are not shown: where they are the only channel between two agents, difference rewards
do not lead to the joint optimum, and training drifts away from it. Positions follow from past signals.
"""

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.spaces import Normaliser, ObservationLayout
from mtquant.types import Float, Float32, Int

POSITION_SCALE = 2.0
"""Positions are shown times this, so that typical ones (0.3 to 0.6) are of order one."""


class SpecialistView:
    """Builds observations `[N, m, d]` of m instruments of each row."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        symbols = dataset.market.symbols
        groups = [spec.catalogue.instruments[s].group for s in symbols]
        bars, count, width = dataset.features.shape
        self.features = np.ascontiguousarray(dataset.features, dtype=np.float32).reshape(bars * count, width)
        self.macro = np.asarray(dataset.macro, dtype=np.float32)
        self.signals = np.array(dataset.signal_columns, dtype=np.int64)
        self.count = count
        alike = np.array([[a == b for b in groups] for a in groups])
        self.remainders = np.stack(
            [remainder_weights(np.where(alike, dataset.correlation, 0.0)), remainder_weights(dataset.correlation)]
        ).astype(np.float32)
        """[2, K, K] weights that turn the instruments' signals into remainders, by group and over all."""
        signals = len(self.signals)
        self.layout = ObservationLayout(
            (
                ("features", width),
                ("position", 1),
                ("goal", 1),
                ("phase", 1),
                ("group_remainder", signals),
                ("market_remainder", signals),
                ("macro", self.macro.shape[1]),
            )
        )
        self.context = slice(self.layout.slice("goal").start, self.layout.width)
        """Columns that carry nothing before phase 3 (goal, phase flag and context)."""
        self.own_width = width
        self.clip = spec.features.clip

    def normaliser(self, dataset: Dataset) -> Normaliser:
        """Return the normaliser of train-split statistics; blocks other than features are scaled already."""
        mean, std = np.zeros(self.layout.width), np.ones(self.layout.width)
        mean[: self.own_width], std[: self.own_width] = dataset.feature_mean, dataset.feature_std
        return Normaliser(mean.astype(np.float32), std.astype(np.float32), self.clip)

    def market_scale(self, dataset: Dataset, *, context: bool) -> Float:
        """Return `[d]` train-split standard deviations of what is seen of the market; 0 for all else."""
        out = np.zeros(self.layout.width)
        out[: self.own_width] = dataset.feature_std
        if context:
            for block in ("group_remainder", "market_remainder"):
                out[self.layout.slice(block)] = np.asarray(dataset.feature_std)[self.signals]
            train = dataset.splits.train.mask(len(self.macro))
            out[self.layout.slice("macro")] = self.macro[train].std(axis=0)
        return out

    def signals_of(self, t: Int, slots: Int) -> Float32:
        """Return `[N, m, S]` the signals of instruments `slots` [N, m] at bars `t` [N]."""
        seen = self.features.take((t[:, None] * self.count + slots).reshape(-1), axis=0)
        signals: Float32 = seen[:, self.signals].reshape(*slots.shape, -1)
        return signals

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
        everyone = np.broadcast_to(np.arange(self.count), (rows, self.count))
        left = np.einsum("bmk,nks->nmbs", self.remainders[:, slots], self.signals_of(t, everyone))
        width = 2 * len(self.signals)
        out[:, :, at : at + width] = left.reshape(rows, m, width)
        at += width
        out[:, :, at:] = self.macro.take(t, axis=0)[:, None, :]
        return out


def remainder_weights(correlation: Float) -> Float:
    """Return `[K, K]` W so that W s is each signal less its prediction from the others, at unit variance.

    Row i of R^-1 is (e_i - beta_i)/(1 - R_i^2); scaled by the root of 1 - R_i^2 = 1/(R^-1)_ii it has
    variance one under R.
    """
    precision = np.linalg.inv(correlation)
    out: Float = precision / np.sqrt(np.diag(precision))[:, None]
    return out
