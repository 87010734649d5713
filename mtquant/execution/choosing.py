"""Which phase to trade, decided on validation before test is opened."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.splits import NAMES
from mtquant.evaluation.days import paired_gains
from mtquant.evaluation.series import Measuring, by_day, common_clock
from mtquant.execution.trained import Trained
from mtquant.types import Float

CHOICE = "fold.json"


@dataclass(frozen=True)
class Choice:
    """What a fold decided, and the settings its figures were measured with."""

    chosen: int
    """2 or 3: the last phase whose gain on validation is above zero with 95 % confidence; phase 1 is no hierarchy."""
    gains: list[dict[str, float]]
    """Certainty-equivalent return per year on validation, with ends: phase 2 over 1, phase 3 over 2."""
    periods: dict[str, str]
    """First and last day of each split."""
    measuring: dict[str, Any]
    """Fields of `Measuring`."""


def choose_phase(spec: PipelineSpec, dataset: Dataset, trained: Trained, streams: Streams) -> Choice:
    """Return the phase that earned its place on the validation split."""
    split = dataset.splits.validation
    measuring = Measuring.of(spec, dataset)
    results = [h.backtest(dataset, spec, split) for h in (trained.phase1, trained.phase2, trained.phase3)]
    clock = common_clock(results)
    days = [by_day(result, clock, measuring) for result in results]
    gains = []
    for earlier, later in ((0, 1), (1, 2)):
        rng = streams.rng("evaluation", "choice", later)
        gain, _ = paired_gains(
            days[later],
            days[earlier],
            measuring.unit_risk,
            measuring.risk_free_rate,
            rng,
            samples=spec.evaluation.bootstrap_samples,
        )
        gains.append(gain)
    chosen = 3 if gains[1].known and gains[1].low > 0.0 else 2
    kept = asdict(measuring) | {"correlation": measuring.correlation.tolist()}
    return Choice(chosen, [asdict(gain) for gain in gains], {n: _period(dataset, n) for n in NAMES}, kept)


def measuring_of(found: dict[str, Any]) -> Measuring:
    """Return the settings that a `Choice` holds."""
    correlation: Float = np.array(found["correlation"], dtype=np.float64)
    return Measuring(**(found | {"correlation": correlation}))


def _period(dataset: Dataset, name: str) -> str:
    segments = dataset.splits[name].segments
    time = dataset.market.time
    first, last = (np.datetime64(int(time[t]), "ns") for t in (segments[0][0], segments[-1][1] - 1))
    return f"{np.datetime_as_string(first, unit='D')} to {np.datetime_as_string(last, unit='D')}"
