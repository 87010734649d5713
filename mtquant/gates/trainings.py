"""What gates train: runs of `mtquant train` in the store, reused like any other run."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.config.agents import PipelineSpec
from mtquant.context import STORE_VARIABLE
from mtquant.data.dataset import Dataset
from mtquant.errors import StoreError, TrainingError
from mtquant.store.digests import digest_json
from mtquant.store.runs import RunRecord, load_run, unit_of_run

COMMAND = (sys.executable, "-m", "mtquant.cli")


@dataclass(frozen=True)
class Training:
    """Settings of one run; gates with equal trainings share it."""

    settings: tuple[str, ...] = ()
    """What differs from the `default` profile, as for `--set`."""
    phase: int | None = None
    """Last phase that is trained; None trains all, evaluates and exports."""


@dataclass(frozen=True)
class FinishedRun:
    """A run whose units are complete."""

    root: Path
    record: RunRecord

    @property
    def spec(self) -> PipelineSpec:
        """Its resolved settings."""
        return PipelineSpec.model_validate_json(json.dumps(self.record.config))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its units."""
        return tuple(entry["key"] for entry in self.record.units.values())

    @property
    def config_digest(self) -> str:
        """Digest of the settings without the seed and what does not change results."""
        left_out = ("seed", "device", "checkpoint_seconds")
        return digest_json({k: v for k, v in self.record.config.items() if k not in left_out})

    def outputs(self, unit: str) -> Path:
        """Return the folder of a unit's outputs. Raises `StoreError` where the unit is not complete."""
        found = unit_of_run(self.root, self.record, unit)
        if found.done() is None:
            raise StoreError(f"The unit {unit} of run {self.record.run_id} is not complete.")
        return found.outputs

    def dataset(self) -> Dataset:
        """Return the dataset that was trained on."""
        return Dataset.load(self.outputs("dataset-market") / "dataset")


def train(root: Path, training: Training, seed: int, *, command: Sequence[str] = COMMAND) -> FinishedRun:
    """Train with `seed` as a person would and return the run; what is in the store is reused.

    Units run one after the other, each a process of its own with one thread, so that trainings fit side by side.
    Raises `TrainingError` with what the command said last.
    """
    arguments = [*command, "train", "--profile", "default", "--engine", "direct", "--seed", str(seed)]
    arguments += ["--workers", "1", "--json"]
    arguments += [] if training.phase is None else ["--phase", str(training.phase)]
    for setting in training.settings:
        arguments += ["--set", setting]
    ended = subprocess.run(
        arguments, capture_output=True, text=True, env=os.environ | {STORE_VARIABLE: str(root.absolute())}, check=False
    )
    if ended.returncode:
        said = "\n".join(ended.stderr.strip().splitlines()[-12:])
        raise TrainingError(f"`{' '.join(arguments[1:])}` ended with exit code {ended.returncode}:\n{said}")
    return FinishedRun(root, load_run(root, _run_id(ended.stdout)))


def _run_id(output: str) -> str:
    """Return the run that the last line of `train --json` names."""
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return str(found["run"])
