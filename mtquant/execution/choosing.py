"""Which phase to trade, decided on validation before test is opened."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mtquant.agents.hierarchy import Trained
from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.splits import NAMES
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.content import Assessed, Promotion
from mtquant.evaluation.days import paired_gains
from mtquant.evaluation.series import Measuring, by_day, common_clock
from mtquant.types import Float

CHOICE = "fold.json"


@dataclass(frozen=True)
class Choice:
    """What a fold decided, and the settings its figures were measured with."""

    chosen: int
    """1 to 3: what `judge_phases` deploys, by validation."""
    gains: list[dict[str, float]]
    """Certainty-equivalent return per year on validation, with ends, of the comparisons that `judge_phases` made."""
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

    def compare(later: int, earlier: int) -> Promotion:
        gains = paired_gains(
            days[later - 1],
            days[earlier - 1],
            measuring.unit_risk,
            measuring.risk_free_rate,
            streams.rng("evaluation", "choice", later, earlier),
            samples=spec.evaluation.bootstrap_samples,
        )
        return Promotion(f"Phase {later}", f"Phase {earlier}", *gains)

    promotions, chosen = _last_that_earned(compare)
    kept = asdict(measuring) | {"correlation": measuring.correlation.tolist()}
    return Choice(chosen, [asdict(p.gain) for p in promotions], {n: _period(dataset, n) for n in NAMES}, kept)


def judge_phases(assessor: Assessor, phases: Sequence[Assessed]) -> tuple[tuple[Promotion, ...], int]:
    """Return the comparisons of phases 1 to 3 and the number of the one that deploys: the last that earned its place.

    Phase 1 is the specialists at equal budgets. Where phase 2 is not better than that, phase 3 has to beat both.
    """
    return _last_that_earned(lambda later, earlier: assessor.promotion(phases[later - 1], phases[earlier - 1]))


def _last_that_earned(compare: Callable[[int, int], Promotion]) -> tuple[tuple[Promotion, ...], int]:
    second, third = compare(2, 1), compare(3, 2)
    if second.earned:
        return (second, third), 3 if third.earned else 2
    over_first = compare(3, 1)
    return (second, third, over_first), 3 if third.earned and over_first.earned else 1


def measuring_of(found: dict[str, Any]) -> Measuring:
    """Return the settings that a `Choice` holds."""
    correlation: Float = np.array(found["correlation"], dtype=np.float64)
    return Measuring(**(found | {"correlation": correlation}))


def _period(dataset: Dataset, name: str) -> str:
    segments = dataset.splits[name].segments
    time = dataset.market.time
    first, last = (np.datetime64(int(time[t]), "ns") for t in (segments[0][0], segments[-1][1] - 1))
    return f"{np.datetime_as_string(first, unit='D')} to {np.datetime_as_string(last, unit='D')}"
