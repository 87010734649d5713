"""The meta-controller's state: 74 numbers for eight instruments in three groups.

4 K portfolio numbers (exposure, own-unit position, volatility ratio, recent profit per instrument),
K (K - 1) / 2 correlations, 3 G specialist numbers (budget, size of the book, recent profit) and 5 macro
numbers. With K = 8 and G = 3: 32 + 28 + 9 + 5 = 74.
"""

import numpy as np
from scipy.signal import lfilter

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.spaces import Normaliser, ObservationLayout
from mtquant.sim.limits import times
from mtquant.types import Float, Float32, Int

CORRELATION_HALF_LIFE = 60.0
VOLATILITY_HALF_LIFE = 20.0
PROFIT_HALF_LIFE = 20.0
PROFIT_DECAY = 0.5 ** (1.0 / PROFIT_HALF_LIFE)


class MetaView:
    """Builds the meta-controller's observation `[N, d]`."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        symbols = dataset.market.symbols
        names = spec.groups
        k, g = len(symbols), len(names)
        groups = [names.index(spec.catalogue.instruments[s].group) for s in symbols]
        self.membership = np.zeros((k, g))
        self.membership[np.arange(k), groups] = 1.0
        self.layout = ObservationLayout(
            (("portfolio", 4 * k), ("correlations", k * (k - 1) // 2), ("specialists", 3 * g), ("macro", 5))
        )
        volatility, correlations = _market_state(dataset)
        self.columns = np.concatenate([volatility, correlations, np.asarray(dataset.macro, dtype=np.float32)], axis=1)
        """[T, K + K (K - 1) / 2 + 5] what depends on the bar only."""
        self.k, self.pairs = k, correlations.shape[1]
        self.clip = spec.features.clip

    def normaliser(self) -> Normaliser:
        """Return one that only clips: every block is of order one already."""
        width = self.layout.width
        return Normaliser(np.zeros(width, np.float32), np.ones(width, np.float32), self.clip)

    def market_scale(self, dataset: Dataset) -> Float:
        """Return `[d]` train-split standard deviations of what depends on the bar only; 0 elsewhere."""
        std = self.columns[dataset.splits.train.mask(len(self.columns))].std(axis=0)
        k, pairs = self.k, self.pairs
        out = np.zeros(self.layout.width)
        out[2 * k : 3 * k] = std[:k]
        out[self.layout.slice("correlations")] = std[k : k + pairs]
        out[self.layout.slice("macro")] = std[k + pairs :]
        return out

    def observe(self, t: Int, exposure: Float, books: Float, budgets: Float, profit: Float) -> Float32:
        """Return `[N, d]`; `profit` [N, K] is the exponential mean of stand-alone profit in u0."""
        market = self.columns.take(t, axis=0)
        k, pairs = self.k, self.pairs
        size = np.sqrt(times(books * books, self.membership))
        earned = times(profit, self.membership)
        blocks = (
            exposure,
            books,
            market[:, :k],
            profit,
            market[:, k : k + pairs],
            budgets - 1.0,
            size,
            earned,
            market[:, k + pairs :],
        )
        return np.concatenate(blocks, axis=1, dtype=np.float32)


def _market_state(dataset: Dataset) -> tuple[Float32, Float32]:
    """Return `[T, K]` log volatility ratios and `[T, pairs]` correlations less those of the train split."""
    market = dataset.market
    bars, k = market.close.shape
    first, second = np.triu_indices(k, 1)
    ratio = np.zeros((bars, k), np.float32)
    pairs = np.zeros((bars, len(first)), np.float32)
    for start, stop in market.history_bounds():
        change = np.diff(market.close[start:stop], axis=0, prepend=market.close[start : start + 1])
        scale = np.asarray(dataset.point_volatility[start:stop])
        moved = change[1:] / scale[:-1]
        shocks = np.concatenate([np.zeros((1, k)), np.clip(moved, -10.0, 10.0)])
        square = _mean(shocks**2, VOLATILITY_HALF_LIFE, 1.0)
        ratio[start:stop] = 0.5 * np.log(np.maximum(square, 1e-4))
        variance = _mean(shocks**2, CORRELATION_HALF_LIFE, 1.0)
        covariance = _mean(
            shocks[:, first] * shocks[:, second], CORRELATION_HALF_LIFE, dataset.correlation[first, second]
        )
        scale_pair = np.sqrt(np.maximum(variance[:, first] * variance[:, second], 1e-8))
        pairs[start:stop] = np.clip(covariance / scale_pair, -1.0, 1.0) - dataset.correlation[first, second]
    return ratio, pairs


def _mean(values: Float, half_life: float, initial: float | Float) -> Float:
    """Return the exponential mean along axis 0, starting from `initial`; causal."""
    decay = 0.5 ** (1.0 / half_life)
    state = decay * np.broadcast_to(np.asarray(initial, dtype=np.float64), values.shape[1:])[None]
    out, _ = lfilter([1.0 - decay], [1.0, -decay], values, axis=0, zi=state)
    mean: Float = out
    return mean
