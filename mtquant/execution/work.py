"""What each kind of unit does. Heavy imports stay inside, so that a process loads only what its unit needs."""

import json
from pathlib import Path

from mtquant.config.agents import PipelineSpec
from mtquant.config.marl import UnifiedTrainingConfig
from mtquant.errors import DataError
from mtquant.execution.attempt import Work
from mtquant.execution.numerics import make_torch_deterministic
from mtquant.pipeline import DATASET, JOINT, META
from mtquant.store.digests import digest_file
from mtquant.store.explanation import explain
from mtquant.store.fold_names import fold_of
from mtquant.store.journal import from_json_number
from mtquant.store.units import DONE, UnitHandle, UnitResult, UnitSpec

Folders = dict[str, Path]


def make_dataset(spec: PipelineSpec, unit: UnitSpec, _upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Obtain the bars, compute features and statistics, and write `outputs/dataset`.

    Raises `DataError` where the bars are no longer those that the run was planned with.
    """
    from mtquant.execution.sources import open_source

    source = open_source(spec).fold(fold_of(unit.name))
    found = source.digests()
    planned = unit.inputs["data"]
    if changes := explain({"data": planned}, {"data": {name: found.get(name) for name in planned}}):
        raise DataError(
            f"The bars changed since the run was planned: {'; '.join(changes)}. Run `mtquant resume` again."
        )
    dataset = source.dataset(spec)
    folder = handle.outputs / "dataset"
    dataset.save(folder)
    outputs = {f"dataset/{path.name}": digest_file(path) for path in sorted(folder.glob("*.npy"))}
    sizes = {f"{name}_bars": float(dataset.splits[name].bars) for name in ("train", "validation", "test")}
    shape = {"instruments": float(len(dataset.market.symbols)), "features": float(len(dataset.feature_names))}
    return UnitResult(sizes | shape, outputs)


def train_specialist(spec: PipelineSpec, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train the specialist of one group."""
    from mtquant.agents.training.phase1_trainer import Phase1Trainer
    from mtquant.data.dataset import Dataset
    from mtquant.data.group import with_group_statistics

    make_torch_deterministic()
    whole = Dataset.load(upstream[DATASET] / "dataset")
    dataset = with_group_statistics(whole, spec.members(unit.subject), spec)
    metrics = Phase1Trainer(spec, dataset, lambda _: handle).train_specialist(unit.subject)
    return UnitResult(metrics, bundle_digests(handle.outputs))


def train_meta(spec: PipelineSpec, _unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train the meta-controller over the frozen specialists."""
    from mtquant.agents.training.phase2_trainer import Phase2Trainer
    from mtquant.data.dataset import Dataset

    make_torch_deterministic()
    dataset = Dataset.load(upstream[DATASET] / "dataset")
    metrics = Phase2Trainer(spec, dataset, handle, specialist_folders(spec, upstream)).train()
    return UnitResult(metrics, bundle_digests(handle.outputs))


def train_jointly(spec: PipelineSpec, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train all agents together; the control of equal steps does so without peers."""
    from mtquant.agents.training.phase3_joint_training import Phase3JointTrainer
    from mtquant.data.dataset import Dataset

    make_torch_deterministic()
    phase3 = spec.phase3.model_copy(update={"peers": unit.inputs["config"]["phase3"]["peers"]})
    dataset = Dataset.load(upstream[DATASET] / "dataset")
    folders = {"meta": upstream[META] / "meta"} | specialist_folders(spec, upstream)
    trainer = Phase3JointTrainer(spec.model_copy(update={"phase3": phase3}), dataset, handle, folders)
    metrics = trainer.train() | trainer.evaluate()
    return UnitResult(metrics, bundle_digests(handle.outputs) | curriculum_digest(handle.outputs))


def train_single(spec: PipelineSpec, _unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train the control without a hierarchy."""
    from mtquant.agents.training.single_agent_trainer import train_single_agent
    from mtquant.data.dataset import Dataset

    make_torch_deterministic()
    metrics = train_single_agent(spec, Dataset.load(upstream[DATASET] / "dataset"), handle)
    return UnitResult(metrics, bundle_digests(handle.outputs))


def evaluate_run(spec: PipelineSpec, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Measure every phase out of sample and write the report; of a walk-forward, pool the folds' reports."""
    if spec.walk_forward.enabled and fold_of(unit.name) is None:
        from mtquant.execution.walk_forward import evaluate_folds

        return evaluate_folds(spec, unit, upstream, handle)
    from mtquant.execution.evaluating import evaluate

    make_torch_deterministic()
    return evaluate(spec, unit, upstream, handle)


def export_run(spec: PipelineSpec, _unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Write every bundle and the whole hierarchy as ONNX, checked against torch."""
    import numpy as np

    from mtquant.agents.bundle import PolicyBundle
    from mtquant.agents.hierarchy import constant_meta, load_trained
    from mtquant.data.dataset import Dataset
    from mtquant.export import Stage, export_models

    make_torch_deterministic()
    dataset = Dataset.load(upstream[DATASET] / "dataset")
    trained = load_trained(spec, dataset, upstream)
    specialists = dict(trained.specialists)
    meta = PolicyBundle.load(upstream[META] / "meta")
    equal = constant_meta(meta, np.full(len(spec.groups), trained.budget), spec.phase2.budget_limit)
    joint = {a: PolicyBundle.load(upstream[JOINT] / a) for a in ("meta", *spec.groups)}
    done = {name: json.loads((folder.parent / DONE).read_bytes()) for name, folder in upstream.items()}
    measured = {
        f"{name}/{metric}": from_json_number(value)
        for name, found in done.items()
        for metric, value in found["metrics"].items()
    }
    final = {name: value for name, value in measured.items() if name.startswith(JOINT)}
    before = {name: value for name, value in measured.items() if name not in final}
    alone = {name: value for name, value in before.items() if name.startswith("phase1")}
    stages = (
        Stage("phase1", specialists | {"meta": equal}, context=False, joint=False, metrics=alone),
        Stage("phase2", specialists | {"meta": meta}, context=False, joint=False, metrics=before),
        Stage("phase3", joint, context=spec.phase3.peers, joint=True, metrics=final),
    )
    units = {name: str(found["unit_key"]) for name, found in done.items()}
    manifest = export_models(spec, dataset, stages, handle.outputs, units=units)
    outputs = {path.name: digest_file(path) for path in sorted(handle.outputs.glob("*.onnx"))}
    parities = [entry["parity"]["max_difference"] for entry in (manifest["models"] | manifest["hierarchies"]).values()]
    return UnitResult({"parity_max_difference": float(max(parities)), "models": float(len(outputs))}, outputs)


def search_team(spec: UnifiedTrainingConfig, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train one candidate of a search."""
    from mtquant.execution import teams

    return teams.search_team(spec, unit, upstream, handle)


def train_team(spec: UnifiedTrainingConfig, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Train a team."""
    from mtquant.execution import teams

    return teams.train_team(spec, unit, upstream, handle)


def export_team(spec: UnifiedTrainingConfig, unit: UnitSpec, upstream: Folders, handle: UnitHandle) -> UnitResult:
    """Write a team's agents as ONNX."""
    from mtquant.execution import teams

    return teams.export_team(spec, unit, upstream, handle)


def specialist_folders(spec: PipelineSpec, upstream: Folders) -> dict[str, Path]:
    """Return the bundle folder of each group's specialist."""
    return {group: upstream[f"phase1-{group}"] / group for group in spec.groups}


def bundle_digests(outputs: Path) -> dict[str, str]:
    """Return `<agent>/weights` to the digest of its tensors for every bundle below `outputs`."""
    described = {path.parent.name: json.loads(path.read_bytes()) for path in sorted(outputs.glob("*/bundle.json"))}
    return {f"{agent}/weights": str(found["weights_digest"]) for agent, found in described.items()}


def curriculum_digest(outputs: Path) -> dict[str, str]:
    """Return `curriculum` to the digest of the curriculum's log, if there is one."""
    log = outputs / "curriculum.jsonl"
    return {"curriculum": digest_file(log)} if log.exists() else {}


WORK: dict[str, Work] = {
    "dataset": make_dataset,
    "phase1": train_specialist,
    "phase2": train_meta,
    "phase3": train_jointly,
    "single": train_single,
    "evaluate": evaluate_run,
    "export": export_run,
    "search": search_team,
    "mappo": train_team,
    "onnx": export_team,
}
