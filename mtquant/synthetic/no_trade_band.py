"""Trading one signal at proportional costs: the optimal no-trade band, by dynamic programming.

Maximise E[b f x - (g/2) x^2 - c|dx|] per bar, f' = (1 - phi) f + e with unit variance, x free. No closed form is
known. The optimum holds x inside [low(f), high(f)] and otherwise trades to the nearer edge; the width follows the
cube root of costs (Martin & Schoeneborn, Risk 2011; de Lataillade et al., 2012), which is an asymptotic, not a
value to hold a learner against.
"""

from dataclasses import dataclass

import numpy as np

from mtquant.synthetic.factors import SpreadParams
from mtquant.types import Float

SIGNAL_RANGE, SIGNAL_NODES = 5.0, 101
"""Standard deviations of the signal on either side, and nodes."""
EXPOSURE_NODES = 801
_TOLERANCE = 1e-8
_SWEEPS = 20_000


@dataclass(frozen=True)
class NoTradeBand:
    """The optimum on a grid of signals."""

    signal: Float
    """[F] nodes, ascending."""
    low: Float
    """[F] exposures below this buy up to it."""
    high: Float
    """[F] exposures above this sell down to it."""
    utility: float
    """Per bar, in u0; of the discretised problem, whose bounds on the average reward are `tolerance` apart."""
    tolerance: float

    def trade(self, signal: Float, exposure: Float) -> Float:
        """Return the exposures wanted at `signal` when `exposure` is held (equal shapes)."""
        low, high = (np.interp(signal, self.signal, edge) for edge in (self.low, self.high))
        out: Float = np.clip(exposure, low, high)
        return out

    @property
    def half_width(self) -> float:
        """Half the width of the band at a signal of zero."""
        middle = len(self.signal) // 2
        return float(self.high[middle] - self.low[middle]) / 2.0


def solve_band(params: SpreadParams) -> NoTradeBand:
    """Return the optimal band by relative value iteration (average reward)."""
    signal = np.linspace(-SIGNAL_RANGE, SIGNAL_RANGE, SIGNAL_NODES)
    exposure = np.linspace(-SIGNAL_RANGE, SIGNAL_RANGE, EXPOSURE_NODES) * params.loading / params.risk_aversion_per_bar
    step = _transition(signal, params.phi_signal)
    earned = params.loading * signal[:, None] * exposure - 0.5 * params.risk_aversion_per_bar * exposure**2
    paid = params.spread * exposure
    value = np.zeros_like(earned)
    for _ in range(_SWEEPS):
        held = earned + step @ value
        buy = np.maximum.accumulate((held - paid)[:, ::-1], axis=1)[:, ::-1] + paid
        sell = np.maximum.accumulate(held + paid, axis=1) - paid
        new = np.maximum(buy, sell)
        gain = new - value
        # The average reward lies between the least and the largest gain of any state (Odoni, 1969).
        least, largest = float(gain.min()), float(gain.max())
        value = new - new[SIGNAL_NODES // 2, EXPOSURE_NODES // 2]
        if largest - least < _TOLERANCE:
            held = earned + step @ value
            low, high = (exposure[np.argmax(side, axis=1)] for side in (held - paid, held + paid))
            return NoTradeBand(signal, low, high, (least + largest) / 2.0, largest - least)
    raise ArithmeticError(f"Value iteration did not settle in {_SWEEPS} sweeps; costs or persistence are extreme.")


def _transition(signal: Float, phi: float) -> Float:
    """Return `[F, F]` probabilities of the next node; the trapezoidal rule is exact to rounding for a Gaussian."""
    theta = 1.0 - phi
    distance = (signal[None] - theta * signal[:, None]) / np.sqrt(1.0 - theta**2)
    weight = np.exp(-0.5 * distance**2)
    out: Float = weight / weight.sum(axis=1, keepdims=True)
    return out
