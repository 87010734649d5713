"""What accounts did over a rollout, in three numbers for its journal line."""

import numpy as np

from mtquant.types import Float

BIN = 0.02
"""Exposures this close count as the same, risk units."""
BOUND = 10.0


class Activity:
    """Counts exposures and trades between two calls of `take`; between rollouts there is nothing to remember."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.count, self.size, self.traded = 0, 0.0, 0.0
        self.bins = np.zeros(int(2 * BOUND / BIN) + 1, dtype=np.int64)

    def add(self, exposure: Float, trade: Float) -> None:
        """Count one bar: exposures held and changes traded `[N, k]`, risk units."""
        held = np.ravel(exposure)
        self.count += held.size
        self.size += float(np.abs(held).sum())
        self.traded += float(np.abs(trade).sum())
        index = np.rint((np.clip(held, -BOUND, BOUND) + BOUND) / BIN).astype(np.int64)
        self.bins += np.bincount(index, minlength=len(self.bins))

    def take(self) -> dict[str, float]:
        """Return the numbers since the last call and start again; nothing where no bar was played.

        `exposure_size`: mean |x|; `exposure_common`: share of the most frequent exposure, to 0.02 risk units;
        `turnover_per_bar`: mean |dx|.
        """
        if not self.count:
            return {}
        found = {
            "exposure_size": self.size / self.count,
            "exposure_common": float(self.bins.max()) / self.count,
            "turnover_per_bar": self.traded / self.count,
        }
        self._forget()
        return found
