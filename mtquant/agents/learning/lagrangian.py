"""A constraint on how often losses are large, learned: the multiplier of a Lagrangian, steered by a PID controller."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from mtquant.config.phases import TailSpec

SMOOTHING = 0.9
"""Share of the old error in the proportional part: rates of single rollouts are noisy."""


class PIDLagrangian:
    """lambda of P(loss > level) <= budget, after Stooke, Achiam and Abbeel (2020).

    That a loss exceeds its limit with at most the budgeted probability is exactly a limit on value at risk.
    The agent is paid (reward - lambda cost) / (1 + lambda), cost being 1 in bars whose loss exceeds the level.
    """

    def __init__(self, spec: TailSpec) -> None:
        self.spec = spec
        self.multiplier = 0.0
        self._integral = 0.0
        self._error = 0.0
        self._rates: deque[float] = deque(maxlen=spec.delay)

    def update(self, rate: float) -> float:
        """Take the share of bars whose loss exceeded the level and return the new multiplier."""
        spec = self.spec
        error = rate - spec.budget
        self._integral = max(0.0, self._integral + spec.integral_gain * error)
        self._error = SMOOTHING * self._error + (1.0 - SMOOTHING) * error
        # Only a rate that rises is answered ahead of time; one that falls must not release the constraint.
        rise = max(0.0, rate - self._rates[0]) if self._rates else 0.0
        self._rates.append(rate)
        self.multiplier = max(0.0, spec.proportional_gain * self._error + self._integral + spec.derivative_gain * rise)
        return self.multiplier

    def state_dict(self) -> dict[str, Any]:
        """Return the controller's state as JSON values."""
        return {
            "multiplier": self.multiplier,
            "integral": self._integral,
            "error": self._error,
            "rates": list(self._rates),
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.multiplier, self._integral = float(values["multiplier"]), float(values["integral"])
        self._error = float(values["error"])
        self._rates = deque(values["rates"], maxlen=self.spec.delay)
