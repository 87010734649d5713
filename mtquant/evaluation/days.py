"""`days.parquet`: daily returns and utilities of everything an evaluation measured, for comparisons made later."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mtquant import metrics
from mtquant.errors import StoreError
from mtquant.evaluation.dependence import mean_error, sharpe_influence
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Clock, Days, Measuring, by_day
from mtquant.evaluation.statistics import Interval, bootstrap
from mtquant.types import Float

DAYS = "days.parquet"
RETURN, UTILITY = "return.", "utility."


@dataclass(frozen=True)
class Scale:
    """What the numbers mean; two evaluations can only be compared on equal scales."""

    split: str
    days_per_year: float
    unit_risk: float
    """u0: standard deviation of one bar's return of exposure 1."""
    risk_aversion: float
    risk_free_rate: float


@dataclass(frozen=True)
class DailyRecord:
    """Daily series by name, all over the same days."""

    scale: Scale
    index: pd.DataFrame
    """Columns `pass` and `day` (UTC)."""
    series: Mapping[str, Days]
    """Returns and utilities, one entry per pass; the value at risk is not kept."""


def write_days(path: Path, results: Sequence[BacktestResult], clock: Clock, measuring: Measuring, split: str) -> None:
    """Write one row per pass and day: `pass`, `day`, and `return.<name>`, `utility.<name>` [u0] of each result."""
    days = clock.days()
    columns: dict[str, object] = {
        "pass": np.repeat(np.arange(len(days)), [len(day) for day in days]),
        "day": pd.to_datetime(np.concatenate(days), unit="D", utc=True),
    }
    for result in results:
        found = by_day(result, clock, measuring)
        columns[RETURN + result.name] = np.concatenate(found.returns)
        columns[UTILITY + result.name] = np.concatenate(found.utility)
    frame = pd.DataFrame(columns)
    scale = Scale(split, clock.days_per_year, measuring.unit_risk, measuring.risk_aversion, measuring.risk_free_rate)
    frame.attrs = {"scale": asdict(scale)}
    frame.to_parquet(path, index=False)


def read_days(path: Path) -> DailyRecord:
    """Return what `write_days` wrote. Raises `StoreError` where it is missing or not such a file."""
    try:
        frame = pd.read_parquet(path)
        scale = Scale(**frame.attrs["scale"])
        index = frame[["pass", "day"]]
        names = [name.removeprefix(RETURN) for name in frame.columns if name.startswith(RETURN)]
        passes = [group.index for _, group in index.groupby("pass")]
        series = {
            name: Days(
                [frame[RETURN + name].to_numpy()[rows] for rows in passes],
                [frame[UTILITY + name].to_numpy()[rows] for rows in passes],
                [],
                scale.days_per_year,
            )
            for name in names
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read: {error}. `mtquant evaluate` measures the run again.") from error
    return DailyRecord(scale, index, series)


def paired_gains(
    later: Days, earlier: Days, unit_risk: float, risk_free_rate: float, rng: np.random.Generator, *, samples: int
) -> tuple[Interval, Interval]:
    """Return how much `later` earns more than `earlier`, from paired resamples of the same days.

    First the difference of utility as certainty-equivalent return per year, then that of the Sharpe ratios.
    """
    # The difference stands beside what it is made of, because it may last longer, and blocks have to be as long.
    passes = [
        np.stack([*columns, columns[2] - columns[3]], axis=1)
        for columns in zip(later.returns, earlier.returns, later.utility, earlier.utility, strict=True)
    ]
    year = later.per_year

    def statistic(drawn: Sequence[Float]) -> Float:
        pooled = np.concatenate(drawn)
        ratios = metrics.sharpe(pooled[:, :2], year, risk_free_rate)
        worth = metrics.mean_return(pooled[:, 4], year) * unit_risk
        return np.asarray([worth, ratios[0] - ratios[1]])

    def errors(drawn: Sequence[Float]) -> Float:
        worth = [p[:, 4:] for p in drawn]
        apart = [i[:, 0:1] - i[:, 1:2] for i in sharpe_influence([p[:, :2] for p in drawn])]
        return np.concatenate([mean_error(worth) * year * unit_risk, mean_error(apart) * np.sqrt(year)])

    gain, sharpe_gain = bootstrap(passes, statistic, rng, samples=samples, errors=errors)
    return gain, sharpe_gain
