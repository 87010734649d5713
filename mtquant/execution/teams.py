"""Runs that train teams: their units, and what each does.

For every environment of the mode: the candidates of a search, the training that uses the best of them, and the
package of its agents.
"""

import json
from pathlib import Path
from typing import Any

from mtquant.agents.training.team_identity import CODE, NEUTRAL, files_in, planned_steps
from mtquant.agents.training.unified_pettingzoo_trainer import EVALUATION, Candidate, UnifiedPettingZooTrainer
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.execution.numerics import make_torch_deterministic
from mtquant.pipeline import SCHEMA
from mtquant.store.digests import code_versions
from mtquant.store.journal import from_json_number
from mtquant.store.units import DONE, UnitHandle, UnitResult, UnitSpec

SEARCH, TRAINING, EXPORT = "search", "mappo", "onnx"
OWN_CODE = {
    SEARCH: ("mtquant.agents.training.unified_pettingzoo_trainer", "mtquant.evaluation.team"),
    TRAINING: (
        "mtquant.agents.training.unified_pettingzoo_trainer",
        "mtquant.evaluation.team",
        "mtquant.evaluation.team_history",
        "mtquant.evaluation.team_plots",
        "mtquant.evaluation.team_report",
    ),
    EXPORT: (
        "mtquant.evaluation.team",
        "mtquant.evaluation.team_history",
        "mtquant.evaluation.team_plots",
        "mtquant.export",
        "mtquant.package",
    ),
}
Folders = dict[str, Path]


def units_of_teams(config: UnifiedTrainingConfig) -> tuple[UnitSpec, ...]:
    """Return the units of a run, each after those it reads. Raises `ConfigError` for settings of the environment."""
    trainer = UnifiedPettingZooTrainer(config)
    units: list[UnitSpec] = []
    for mode in config.training_mode.parts:
        search = [
            _unit(SEARCH, f"{mode}-{candidate.number}", config, trainer.settings(mode, candidate))
            for candidate in trainer.candidates()
        ]
        training = _unit(TRAINING, str(mode), config, trainer.settings(mode), search)
        units += [*search, training, _unit(EXPORT, str(mode), config, None, [training])]
    return tuple(units)


def _unit(
    kind: str,
    subject: str,
    config: UnifiedTrainingConfig,
    settings: TrainingConfig | None,
    upstream: list[UnitSpec] | None = None,
) -> UnitSpec:
    read = {unit.name: unit.key for unit in upstream or ()}
    shown: dict[str, Any] = {"environment": config.environment}
    if settings is not None:
        shown |= settings.model_dump(mode="json", exclude=NEUTRAL | {"seed"})
        shown["evaluation_episodes"] = config.evaluation_episodes
    inputs = {
        "schema": SCHEMA,
        "kind": kind,
        "subject": subject,
        "config": shown,
        "code": code_versions((*CODE, *OWN_CODE[kind])),
        "files": files_in(config.environment),
        "upstream": read,
        "seed": config.seed,
    }
    steps = planned_steps(settings) if settings is not None else 1
    return UnitSpec(f"{kind}-{subject}", kind, subject, inputs, tuple(read), steps)


def search_team(spec: UnifiedTrainingConfig, unit: UnitSpec, _upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train one candidate for a short time and measure it on the validation split."""
    make_torch_deterministic()
    mode, _, number = unit.subject.rpartition("-")
    return UnifiedPettingZooTrainer(spec).search(TrainingMode(mode), _candidate(spec, int(number)), handle)


def train_team(spec: UnifiedTrainingConfig, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train the team with the best candidate's step size, measure it on the test split and write the report."""
    make_torch_deterministic()
    found: dict[float, float] = {}
    for name, folder in upstream.items():
        metrics = json.loads((folder.parent / DONE).read_bytes())["metrics"]
        rate = _candidate(spec, int(name.rpartition("-")[2])).rate
        found[rate] = from_json_number(metrics["validation_reward"])
    return UnifiedPettingZooTrainer(spec).work(TrainingMode(unit.subject), handle, found)


def export_team(spec: UnifiedTrainingConfig, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Write the team's package, its ONNX files checked against torch on what the agents saw on the test split."""
    from mtquant.package.team import write_package

    make_torch_deterministic()
    (folder,) = upstream.values()
    measured = json.loads((folder / EVALUATION).read_bytes())
    unified, mode = UnifiedPettingZooTrainer(spec), TrainingMode(unit.subject)
    manifest = write_package(unified, mode, folder, measured, handle.outputs)
    models = [*manifest["models"].values(), *manifest["critics"].values()]
    worst = max(entry["parity"]["max_difference"] for entry in models)
    return UnitResult({"parity_max_difference": float(worst), "models": float(len(models))}, manifest["files"])


def _candidate(spec: UnifiedTrainingConfig, number: int) -> Candidate:
    return UnifiedPettingZooTrainer(spec).candidates()[number]
