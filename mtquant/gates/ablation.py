"""What each part of joint training is worth: the netting market with one setting changed at a time.

Every variant shares phases 1 and 2 of its seed with the default, so differences come from phase 3 alone. With a few
seeds the best of many variants is partly luck: the default is compared with it once more on seeds that chose nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from mtquant.agents.learning.aggregators import AGGREGATORS
from mtquant.evaluation.statistics import LEVEL, Interval
from mtquant.gates.definitions import NETTING
from mtquant.gates.gate import Measure
from mtquant.gates.hierarchies import OptimumShare
from mtquant.gates.runner import Needed, Say, Trainer, training_ahead
from mtquant.gates.trainings import Training

DEFAULT = "default"
TIMESTEPS = 500_000
SEEDS, FRESH = (0, 1, 2), (3, 4, 5)
WORTH: Measure = OptimumShare("phase3", "phase1")
"""Utility over the best that desks can do without knowing of one another."""

VARIANTS: Mapping[str, tuple[str, ...]] = {
    DEFAULT: (),
    **{
        f"aggregator {name}": (f"phase3.aggregator={{name: {name}}}",)
        for name in AGGREGATORS
        if name != "portfolio_only"
    },
    "difference reward": ("phase3.credit=difference",),
    "shared reward": ("phase3.credit=shared",),
    "no peers": ("phase3.peers=false",),
    "noise e^-3": ("phase3.specialist_log_std=-3.0",),
    "noise e^-1": ("phase3.specialist_log_std=-1.0",),
    "noise e^-0.5": ("phase3.specialist_log_std=-0.5",),
    "noise 1": ("phase3.specialist_log_std=0.0",),
    "difference reward, no noise baseline": ("phase3.credit=difference", "phase3.noise_baseline=false"),
    "sequential": ("phase3.sequential=true",),
    "anchor 0.1": ("phase3.kl_anchor=0.1",),
    "meta 3 times as fast": ("phase3.meta_learning_rate=0.003",),
    "meta a tenth as fast": ("phase3.meta_learning_rate=0.0001",),
    "meta stands still": ("phase3.meta_learning_rate=0.00000001",),
    "meta every 5th rollout": ("phase3.meta_update_freq=5",),
    "specialists every 5th rollout": ("phase3.specialist_update_freq=5",),
    "adaptive step sizes": ("phase3.adaptive_learning_rates=true",),
    "half the step size": ("phase3.specialist_learning_rate=0.001",),
    "no critic warm-up": ("phase3.critic_warmup_rollouts=0",),
    "no curriculum": ("phase3.curriculum.enabled=false",),
}
"""Settings that differ from the default profile."""


@dataclass(frozen=True)
class Row:
    """One variant with its figure for every seed."""

    name: str
    found: tuple[Interval, ...]

    @property
    def mean(self) -> float:
        """Mean of the seeds."""
        return float(np.mean([one.value for one in self.found]))


@dataclass(frozen=True)
class Ablation:
    """The table, and the default beside the best variant on fresh seeds."""

    rows: tuple[Row, ...]
    """Best first, on `SEEDS`."""
    best: Row
    """The best variant that is not the default, on `FRESH`."""
    default: Row
    """The default on `FRESH`."""

    @property
    def gain(self) -> Interval:
        """What the best variant has over the default on fresh seeds, paired; Student's interval over seeds."""
        return mean_over_seeds(
            [better.value - ours.value for better, ours in zip(self.best.found, self.default.found, strict=True)]
        )

    @property
    def passed(self) -> bool:
        """Whether the default is not worse than the best variant beyond the interval."""
        return self.gain.low <= 0.0

    def values(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "timesteps": TIMESTEPS,
            "measure": "utility over the best of desks that do not know of one another",
            "seeds": list(SEEDS),
            "rows": [_values(row) for row in self.rows],
            "fresh_seeds": list(FRESH),
            "fresh": [_values(self.best), _values(self.default)],
            "gain": [self.gain.value, self.gain.low, self.gain.high],
            "passed": self.passed,
        }


def run_ablation(train: Trainer, say: Say, jobs: int = 1) -> Ablation:
    """Train every variant with every seed, then the best and the default with fresh ones."""
    rows = sorted(_measured(tuple(VARIANTS), SEEDS, train, say, jobs), key=lambda row: -row.mean)
    best = next(row.name for row in rows if row.name != DEFAULT)
    again = _measured((best, DEFAULT), FRESH, train, say, jobs)
    return Ablation(tuple(rows), again[0], again[1])


def mean_over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean with Student's interval."""
    half = float(student.ppf((1.0 + LEVEL) / 2.0, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    mean = float(np.mean(values))
    return Interval(mean, mean - half, mean + half)


def ablation_table(found: Ablation) -> str:
    """Return the table as aligned text."""
    default = next(row for row in found.rows if row.name == DEFAULT)
    width = max(len(row.name) for row in found.rows)
    lines = [f"{'variant':<{width}}  mean   against the default       by seed"]
    for row in found.rows:
        paired = mean_over_seeds([a.value - b.value for a, b in zip(row.found, default.found, strict=True)])
        against = "" if row is default else f"{paired.value:+.3f} ({paired.low:+.3f} to {paired.high:+.3f})"
        seeds = "  ".join(f"{one.value:.3f}" for one in row.found)
        lines.append(f"{row.name:<{width}}  {row.mean:.3f}  {against:<25} {seeds}")
    gain, verdict = found.gain, "within the interval" if found.passed else "THE DEFAULT IS WORSE"
    lines.append(
        f"\nOn fresh seeds {FRESH} `{found.best.name}` has {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) "
        f"over the default: {verdict}."
    )
    return "\n".join(lines)


def training_of(variant: str) -> Training:
    """Return what is trained for a variant."""
    return Training((*NETTING, f"phase3.timesteps={TIMESTEPS}", *VARIANTS[variant]), phase=3)


def _measured(names: Sequence[str], seeds: Sequence[int], train: Trainer, say: Say, jobs: int) -> list[Row]:
    needed: dict[Needed, str] = {(training_of(name), seed): f"ablation, {name}" for name in names for seed in seeds}
    with training_ahead(needed, train, say, jobs) as finished:
        rows = []
        for name in names:
            rows.append(Row(name, tuple(WORTH(finished[training_of(name), seed].result()) for seed in seeds)))
            say(f"{name}: {rows[-1].mean:.3f}")
    return rows


def _values(row: Row) -> dict[str, Any]:
    found = [[round(number, 6) for number in (one.value, one.low, one.high)] for one in row.found]
    return {"name": row.name, "settings": list(VARIANTS[row.name]), "mean": round(row.mean, 6), "by_seed": found}
