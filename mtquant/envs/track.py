"""What an episode's reward needs to remember of its account: drawdown and the moments of its returns."""

import numpy as np

from mtquant.envs.rewards import BarOutcome, DifferentialSharpe
from mtquant.types import Array, Float


def fresh_track(rows: int) -> dict[str, Array]:
    """Return the memory of an episode that begins: highest equity, largest drawdown, moments of returns."""
    return {"peak": np.ones(rows), "worst": np.zeros(rows), "sharpe": np.zeros((rows, 2))}


def drawdown_growth(memory: dict[str, Array], equity: Float, unit_risk: float) -> Float:
    """Return `[N]` by how much the episode's largest drawdown grew, in u0; `equity` [N] is a share of the capital.

    Its sum over an episode is the largest drawdown, which a penalty on the level in every bar would count many times.
    """
    memory["peak"] = np.maximum(memory["peak"], equity)
    drawdown = 1.0 - equity / memory["peak"]
    worst = np.maximum(memory["worst"], drawdown)
    grown = worst - memory["worst"]
    memory["worst"] = worst
    out: Float = grown / unit_risk
    return out


def sharpe_step(memory: dict[str, Array], outcome: BarOutcome, rate: float) -> Float:
    """Return `[N]` the differential Sharpe ratio of the bar (Moody and Saffell, 2001)."""
    paid, memory["sharpe"] = DifferentialSharpe(rate)(outcome, memory["sharpe"])
    return paid
