"""Exports: a real one of untrained policies, and a tiny one that takes no time."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.recording import Recording, record
from mtquant.config.agents import ExportSpec
from mtquant.envs.games.joint import JointGame
from mtquant.export import Stage, export_models
from mtquant.store.digests import digest_file
from tests.agents.made import bundles_of, learning_spec
from tests.tiny import tiny_dataset


@dataclass(frozen=True)
class Exported:
    """The files, what they were made of, and what they were checked with."""

    folder: Path
    stages: dict[str, Stage]
    recordings: dict[str, Recording]

    def bundle(self, model: str) -> PolicyBundle:
        """Return the bundle behind `phase<n>-<agent>`."""
        phase, agent = model.split("-")
        return self.stages["phase3" if phase == "phase3" else "phase2"].bundles[agent]


def make_export(folder: Path) -> Exported:
    """Export two hierarchies whose policies come from all three phases."""
    spec, dataset = learning_spec(export=ExportSpec(parity_observations=100)), tiny_dataset()
    joint = {agent: _of_phase_3(bundle) for agent, bundle in bundles_of(dataset, spec, seed=1).items()}
    stages = (
        Stage("phase2", bundles_of(dataset, spec), context=False, joint=False),
        Stage("phase3", joint, context=True, joint=True),
    )
    export_models(spec, dataset, stages, folder)
    games = {s.name: JointGame(dataset, spec, context=s.context, joint=s.joint) for s in stages}
    recordings = {s.name: record(games[s.name], s.bundles, 50) for s in stages}
    return Exported(folder, {stage.name: stage for stage in stages}, recordings)


def _of_phase_3(bundle: PolicyBundle) -> PolicyBundle:
    fields = {name: getattr(bundle, name) for name in PolicyBundle.__dataclass_fields__}
    return PolicyBundle(**fields | {"provenance": {"phase": 3}})


def make_small_export(folder: Path, seed: int = 0) -> None:
    """Write one policy and one hierarchy that multiply by a number of their own, with a manifest."""
    models = {"phase3-forex": _small(folder, "phase3-forex", seed)}
    whole = {"phase3-hierarchy": _small(folder, "phase3-hierarchy", seed)}
    models["phase3-forex"] |= {"agent": "forex", "provenance": {"phase": 3}}
    (folder / "manifest.json").write_text(json.dumps({"models": models, "hierarchies": whole}))


def _small(folder: Path, name: str, seed: int) -> dict[str, Any]:
    ends = [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, ["rows", 2]) for end in ("seen", "said")]
    factor = onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [1], [1.0 + seed])
    node = onnx.helper.make_node("Mul", ["seen", "factor"], ["said"])
    graph = onnx.helper.make_graph([node], name, ends[:1], ends[1:], [factor])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    shape = {"dtype": "float32", "shape": ["rows", 2]}
    return {
        "file": path.name,
        "sha256": digest_file(path),
        "inputs": [{"name": "seen", **shape}],
        "outputs": [{"name": "said", **shape}],
        "instruments": ["EURUSD"],
        "weights": {"forex": f"{seed:064x}"},
        "parity": {"max_difference": 0.0, "observations": 1},
    }
