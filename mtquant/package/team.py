"""The package of a trained team: one folder with everything to use it, and to know where it came from."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.critic_bundle import CriticBundle
from mtquant.agents.training.pettingzoo_mappo_trainer import MODELS, RESULTS, Model, json_of, model_folder, team_bundles
from mtquant.agents.training.team_validation import agreement_of
from mtquant.agents.training.unified_pettingzoo_trainer import BLOCKS, TEST, UnifiedPettingZooTrainer
from mtquant.config.agents import ExportSpec
from mtquant.config.games import read_games
from mtquant.config.marl import TrainingMode
from mtquant.errors import UsageError
from mtquant.evaluation.team import Seen
from mtquant.evaluation.team_history import RewardHistory, coordination, history_of, progress_of
from mtquant.evaluation.team_plots import draw_all
from mtquant.export import MANIFEST, TIE, origin_of
from mtquant.package.networks import export_networks, tensors_of
from mtquant.package.readme import readme_of
from mtquant.store.digests import digest_file
from mtquant.store.files import make_folder, write_atomic
from mtquant.store.journal import Journal

PLOTS, SCRIPT, CONFIG = "plots", "deploy_model.py", "model_config.json"
STATISTICS, VALIDATION, EXAMPLES = "training_statistics.json", "validation_results.json", "examples.json"
RECORDED = 8
"""Observations of each agent whose answers are recorded, so that the package can be checked anywhere."""


def export_package(unified: UnifiedPettingZooTrainer, mode: TrainingMode, folder: Path) -> Path:
    """Write the package of a team that `unified` trained into `folder` and return it; it must not hold anything else.

    Raises `UsageError` before the training, and what `write_package` raises.
    """
    trainer = unified.trainers.get(mode)
    if trainer is None or trainer.unit is None:
        raise UsageError(f"No team of the mode `{mode}` was trained yet: call `train` first.")
    if folder.is_dir() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise UsageError(f"`{folder}` holds something else than a package; name an empty folder.")
    measured = {str(model): found for model, found in unified.measured(trainer).items()}
    write_package(unified, mode, trainer.unit.outputs, measured, folder)
    return folder


def write_package(
    unified: UnifiedPettingZooTrainer,
    mode: TrainingMode,
    trained: Path,
    measured: Mapping[str, Mapping[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Write the package of the team in `trained`, the outputs of its training, into `folder`; return the manifest.

    `measured` is what the best and the final model earned on the test split. The manifest's `files` has the sha256 of
    everything but itself and `plots/`. Raises `TrainingError` where an ONNX graph differs from what was trained.
    """
    spec = ExportSpec()
    results = json.loads((trained / RESULTS).read_bytes())
    agents: list[str] = results["agents"]
    policies = {model: team_bundles(trained, model) for model in MODELS}
    critics = {
        model: {agent: CriticBundle.load(model_folder(trained, model) / agent) for agent in agents} for model in MODELS
    }
    seen = unified.observations(mode, policies["best"], TEST)
    make_folder(folder)
    graphs = export_networks(policies["best"], critics["best"], seen, folder, spec)
    for model in MODELS:
        write_atomic(folder / whole_model(mode, model), tensors_of(policies[model], critics[model]))
    history = history_of(Journal(trained.parent / "metrics.jsonl").read(), agents)
    described = _described(unified, mode, policies, critics["best"]) | {"training": results["settings"]}
    validation = {"validation": results["validation"], TEST: measured}
    statistics = _statistics(results, history)
    written = {CONFIG: described, STATISTICS: statistics, VALIDATION: validation}
    for name, content in (written | {EXAMPLES: _examples(policies, critics, seen)}).items():
        write_atomic(folder / name, json_of(content))
    write_atomic(folder / SCRIPT, Path(__file__).with_name(SCRIPT).read_bytes())
    write_atomic(folder / "README.md", readme_of(mode, described, statistics, validation).encode())
    files = {
        path.name: digest_file(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST
    }
    make_folder(folder / PLOTS)
    agreed = agreement_of(policies["best"], seen)
    for name, picture in draw_all(history, results["validation"], agreed).items():
        write_atomic(folder / PLOTS / name, picture)
    manifest = origin_of() | graphs | {"hierarchies": {}, "files": files}
    write_atomic(folder / MANIFEST, json_of(manifest))
    return manifest


def whole_model(mode: TrainingMode, model: Model) -> str:
    """Return the name of the file with all networks of a model."""
    return f"{model}_{mode.replace('-', '_')}_model.safetensors"


def _described(
    unified: UnifiedPettingZooTrainer,
    mode: TrainingMode,
    policies: Mapping[Model, Mapping[str, PolicyBundle]],
    critics: Mapping[str, CriticBundle],
) -> dict[str, Any]:
    games, block = read_games(unified.config.environment.get("config")), BLOCKS[mode]
    agents = {
        agent: {
            "observation": bundle.layout.width,
            "blocks": [list(entry) for entry in bundle.layout.blocks],
            "actions": asdict(bundle.actions),
            "identity": list(bundle.identity),
            "clip": bundle.clip,
            "state": critics[agent].state,
        }
        for agent, bundle in policies["best"].items()
    }
    models = {
        model: {
            "file": whole_model(mode, model),
            "steps": next(iter(bundles.values())).provenance["timesteps"],
            "weights": {agent: bundle.digest for agent, bundle in bundles.items()},
        }
        for model, bundles in policies.items()
    }
    return {
        "mode": str(mode),
        "order": list(agents),
        "agents": agents,
        "bars": _bars(unified.config.environment.get("bars")),
        "models": models,
        "environment": {block: getattr(games, block).model_dump(mode="json")},
    }


def _bars(bars: Any) -> str:
    """Return what was trained on, without the folder of this machine."""
    return "the default planted market" if bars is None else Path(str(bars)).name


def _statistics(results: Mapping[str, Any], history: RewardHistory) -> dict[str, Any]:
    series = {"all agents": history.total}
    series |= {agent: history.rewards[:, i] for i, agent in enumerate(history.agents)}
    return {
        "results": {key: results[key] for key in ("steps", "episodes", "best_reward", "final_reward", "agent_rewards")},
        "progress": {name: asdict(progress_of(history.steps, rewards)) for name, rewards in series.items()},
        "coordination": {
            agent: dict(zip(history.agents, map(float, row), strict=True))
            for agent, row in zip(history.agents, coordination(history.rewards), strict=True)
        },
        "history": {"steps": history.steps.tolist(), "rewards": {n: r.tolist() for n, r in series.items()}},
    }


def _examples(
    policies: Mapping[Model, Mapping[str, PolicyBundle]],
    critics: Mapping[Model, Mapping[str, CriticBundle]],
    seen: Mapping[str, Seen],
) -> dict[str, Any]:
    """Return observations with the answers of both models, none that rounding could decide."""
    found: dict[str, Any] = {}
    for agent, (observation, state) in seen.items():
        clear = [policies[model][agent].actor.margin(observation) > TIE for model in MODELS]
        chosen = (clear[0] & clear[1]).nonzero()[0][:RECORDED]
        shown, around = observation[chosen], state[chosen]
        answers: dict[str, Any] = {}
        for model in MODELS:
            critic = critics[model][agent]
            worth = critic.values(shown, around) if critic.state else critic.values(shown)
            answers[model] = {"action": policies[model][agent].actor.act(shown).tolist(), "value": worth.tolist()}
        found[agent] = {"observation": shown.tolist(), "state": around.tolist()} | answers
    return found
