"""What gates measure of the documents' targets: drawdown, win rate and value at risk of a phase, on fresh paths.

The documents name no volatility and no horizon, and without them neither drawdown nor win rate means anything: here
returns are scaled to the same annual volatility, and the horizon is that of a path.
"""

from dataclasses import dataclass

import numpy as np

from mtquant import metrics
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import cut
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.summary import deepest_drawdown, win_windows
from mtquant.gates.hierarchies import Phase, traded
from mtquant.gates.measures import two_errors
from mtquant.gates.trainings import FinishedRun

VOLATILITY = 0.10
"""Annual volatility that returns are scaled to."""


@dataclass(frozen=True)
class RealisedTarget:
    """A target of the documents as a phase realises it on fresh paths at `VOLATILITY`; ends at two standard errors.

    `max_drawdown`: deepest loss from a peak within a path of `environment.episode_length` bars, mean over paths.
    `win_rate`: share of windows of `evaluation.win_horizon_bars` bars that end above zero, mean over paths.
    `var_compliance`: share of bars whose value at risk before the fact is within `limits.max_portfolio_var`, mean
    over paths.
    """

    phase: Phase
    target: str

    def __call__(self, run: FinishedRun) -> Interval:
        _, result = traded(run, self.phase)
        spec = run.spec
        return realised(result, self.target, spec.evaluation.win_horizon_bars, spec.limits.max_portfolio_var)


def realised(result: BacktestResult, target: str, horizon_bars: int, var_limit: float) -> Interval:
    """Return `target` of `RealisedTarget`; NaN where no pass held anything."""
    returns = cut(result.returns, result.alive)
    volatility = float(metrics.volatility(np.concatenate(returns), result.bars_per_year))
    if volatility == 0.0:
        return Interval(float("nan"))
    scale = VOLATILITY / volatility
    if target == "max_drawdown":
        per_path = [deepest_drawdown([path * scale]) for path in returns]
    elif target == "win_rate":
        won = [win_windows([path * scale], horizon_bars) for path in returns]
        per_path = [wins / windows for wins, windows in won if windows]
    else:
        stated = cut(result.value_at_risk, result.alive)
        per_path = [float(metrics.compliance(path * scale, var_limit)) for path in stated]
    return two_errors(np.asarray(per_path))
