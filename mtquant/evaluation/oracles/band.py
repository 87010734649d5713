"""The optimum at proportional costs as a policy: hold inside a band around the signal, trade to its nearer edge."""

from dataclasses import dataclass, replace

import numpy as np

from mtquant.synthetic.factors import SpreadParams
from mtquant.synthetic.no_trade_band import NoTradeBand, solve_band
from mtquant.synthetic.planted import Planted
from mtquant.types import Array, Float


@dataclass(frozen=True)
class BandPolicy:
    """`ActFn` of the portfolio game; every instrument on its own."""

    band: NoTradeBand
    signals: Float
    """[T, K], known at t."""
    scale: Float
    """[K] size of the book; 0 stays flat."""

    def __call__(self, observation: Array, /) -> Float:
        """Return `[N, K]` exposures of the next bar."""
        bar = observation[:, 0].astype(np.int64)
        size = np.where(self.scale == 0.0, 1.0, self.scale)
        wanted: Float = self.scale * self.band.trade(self.signals[bar], observation[:, 1:] / size)
        return wanted

    def alone(self, column: int) -> "BandPolicy":
        """Return the policy of one instrument."""
        return replace(self, signals=self.signals[:, [column]], scale=self.scale[[column]])


def band_policy(planted: Planted, params: SpreadParams, scale: float | Float = 1.0) -> BandPolicy:
    """Return the optimum of every instrument, times `scale` (one number or `[K]`)."""
    assert planted.signals is not None
    signals = planted.signals[:, :, 0]
    return BandPolicy(solve_band(params), signals, np.broadcast_to(np.asarray(scale, float), signals.shape[1:]))
