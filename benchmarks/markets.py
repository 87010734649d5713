"""The markets and settings that benchmarks share."""

from dataclasses import dataclass

from mtquant.config.agents import PipelineSpec
from mtquant.config.load import load_pipeline
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.execution.sources import open_source
from mtquant.gates.definitions import SHOWN_SIGNALS
from mtquant.gates.shares import PathSet, path_set
from mtquant.synthetic import build_planted, evaluation_paths
from mtquant.synthetic.settings import with_objective

SMALL = ("data.planted.train_histories=4", "data.planted.validation_histories=1", "data.planted.test_histories=1")
"""The speed of a step does not depend on how many histories there are."""


@dataclass(frozen=True)
class Setting:
    """Resolved settings with the dataset they ask for."""

    spec: PipelineSpec
    dataset: Dataset

    @classmethod
    def of(cls, *settings: str, seed: int = 0) -> "Setting":
        """Return the `default` profile with `settings`, as for `--set`."""
        spec = with_objective(load_pipeline("default", None, [*settings, f"seed={seed}"]))
        return cls(spec, open_source(spec).dataset(spec))


def embedded(*settings: str) -> Setting:
    """Return a few histories of the embedded market with the default observation."""
    return Setting.of(*SMALL, *settings)


def factor(*settings: str, seed: int = 0) -> Setting:
    """Return `gp-easy` with the observation of its gate."""
    return Setting.of("data.source=gp-easy", *SHOWN_SIGNALS, *settings, seed=seed)


def fresh_paths(setting: Setting, count: int) -> PathSet:
    """Return `count` fresh paths of the setting's planted market."""
    spec, streams = setting.spec, Streams(setting.spec.seed)
    planted = build_planted(spec.data.source, spec.data.planted, streams, spec.environment.instruments)
    bars = spec.environment.warmup_steps + spec.environment.episode_length
    return path_set(setting.dataset, evaluation_paths(planted, streams, count, bars), spec)
