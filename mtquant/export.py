"""Bundles and whole hierarchies to ONNX: normaliser and clipping inside, parity checked, one manifest.

A file is written only after onnxruntime gave the numbers of torch on real observations.
"""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

import mtquant
from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.network import OUTPUTS, HierarchyNetwork
from mtquant.agents.recording import Recording, record
from mtquant.config.agents import ExportSpec, PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.games.joint import JointGame
from mtquant.errors import TrainingError
from mtquant.store.digests import code_versions, digest_bytes, digest_json, write_atomic
from mtquant.store.journal import to_json_number
from mtquant.types import Array

FORMAT = 1
TIE = 1e-4
"""Choices whose scores are closer than this are decided by rounding, so they are no test of a graph."""
OPSET = 18
MANIFEST = "manifest.json"
CODE = ("mtquant.agents.network", "mtquant.agents.policy", "mtquant.envs", "mtquant.data", "mtquant.sim")
"""What decides the meaning of an observation and of an action."""


@dataclass(frozen=True)
class Stage:
    """A trained hierarchy and the rules it plays by."""

    name: str
    """`phase1` (equal budgets), `phase2`, `phase3`; begins the names of its files."""
    bundles: Mapping[str, PolicyBundle]
    """By agent: `meta` and every group."""
    context: bool
    """Whether specialists see budgets and peers (phase 3 with peers)."""
    joint: bool
    """Whether the stop-loss of phase 3 applies."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures that stand beside it in the manifest."""


class OnnxActor:
    """An ONNX policy as an `ActFn`: `[N, count d]` to `[N, count a]`, like `PolicyBundle.act_fn`."""

    def __init__(self, path: Path, count: int = 1) -> None:
        self.count = count
        self.session = open_session(path.read_bytes())

    def __call__(self, observation: Array, /) -> Array:
        """Return actions of observations."""
        rows = len(observation)
        seen = np.ascontiguousarray(observation, dtype=np.float32).reshape(rows * self.count, -1)
        said: Array = self.session.run(None, {"observation": seen})[0]
        return said.reshape(rows, -1)


def open_session(content: bytes) -> Any:
    """Return an onnxruntime session on one thread, so that its results do not depend on the machine's load."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def export_models(
    spec: PipelineSpec,
    dataset: Dataset,
    stages: Sequence[Stage],
    folder: Path,
    *,
    units: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write every bundle of `stages` and each whole hierarchy into `folder`, with `manifest.json`, and return it.

    Files are `phase<p>-<agent>.onnx` (p: the phase that trained the bundle) and `<stage>-hierarchy.onnx`.
    `units` names the keys of the units that the bundles come from. Raises `TrainingError` where
    onnxruntime and torch differ by more than `spec.export.tolerance`; nothing false is written.
    """
    models: dict[str, Any] = {}
    hierarchies: dict[str, Any] = {}
    for stage in stages:
        game = JointGame(dataset, spec, context=stage.context, joint=stage.joint)
        recording = record(game, stage.bundles, spec.export.parity_observations)
        for agent, bundle in stage.bundles.items():
            per_row = len(bundle.instruments) if bundle.per_instrument else 1
            seen = recording.observations(agent, per_row)[: spec.export.parity_observations]
            path = folder / f"{_phase_of(bundle, stage)}-{agent}.onnx"
            if path.stem not in models:
                models[path.stem] = export_bundle(bundle, path, seen, spec.export)
        path = folder / f"{stage.name}-hierarchy.onnx"
        made = export_hierarchy(stage, spec, path, recording)
        made["models"] = {agent: f"{_phase_of(b, stage)}-{agent}" for agent, b in stage.bundles.items()}
        hierarchies[path.stem] = made
    manifest = _manifest(spec, dataset, models, hierarchies, units or {})
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_atomic(folder / MANIFEST, text.encode())
    return manifest


def export_bundle(bundle: PolicyBundle, path: Path, observations: Array, spec: ExportSpec) -> dict[str, Any]:
    """Write one policy (`observation` [rows, d] to `action` [rows, a]) and return its entry in the manifest.

    `observations` [n, d] are real ones. Raises `TrainingError` where ONNX and torch differ too much.
    """
    actor = bundle.actor.eval()
    seen = np.ascontiguousarray(observations, dtype=np.float32)
    seen = seen[actor.margin(seen) > TIE]
    entry = {
        "agent": bundle.agent,
        "instruments": list(bundle.instruments),
        "per_instrument": bundle.per_instrument,
        "weights": bundle.digest,
        "layout": [list(block) for block in bundle.layout.blocks],
        "actions": asdict(bundle.actions),
        "provenance": bundle.provenance,
    }
    content = graph_of(actor, {"observation": torch.from_numpy(seen[:2])}, ("action",), entry)
    parity = parity_of(path.stem, content, {"observation": seen}, {"action": actor.act(seen)}, spec)
    return write_graph(path, content, entry | {"parity": parity})


def export_hierarchy(stage: Stage, spec: PipelineSpec, path: Path, recording: Recording) -> dict[str, Any]:
    """Write the whole hierarchy of `stage` as one graph and return its entry in the manifest.

    Inputs and outputs are those of `HierarchyNetwork`. It must agree with what the game itself made of
    `recording`, in float64, not only with its torch twin; otherwise raises `TrainingError`.
    """
    network = HierarchyNetwork(stage.bundles, spec, context=stage.context).eval()
    given = {n: a if a.dtype == np.int64 else a.astype(np.float32) for n, a in recording.inputs.items()}
    given = {name: np.ascontiguousarray(given[name]) for name in network.inputs}
    entry = {
        "context": stage.context,
        "groups": list(spec.groups),
        "instruments": list(spec.environment.instruments),
        "decision_bars": network.every,
        "budget_smoothing": network.smoothing,
        "budget_limit": network.limit,
        "adjustment_rate": network.rate,
        "target_range": network.range,
        "weights": {agent: bundle.digest for agent, bundle in stage.bundles.items()},
        "metrics": {name: to_json_number(value) for name, value in stage.metrics.items()},
    }
    examples = {name: torch.from_numpy(array[:2]) for name, array in given.items()}
    content = graph_of(network, examples, OUTPUTS, entry)
    parity = parity_of(path.stem, content, given, recording.outputs, spec.export)
    return write_graph(path, content, entry | {"parity": parity})


def _phase_of(bundle: PolicyBundle, stage: Stage) -> str:
    return f"phase{bundle.provenance['phase']}" if "phase" in bundle.provenance else stage.name


def graph_of(
    network: nn.Module, examples: Mapping[str, torch.Tensor], outputs: Sequence[str], described: Mapping[str, Any]
) -> bytes:
    """Return a graph with a free number of rows; the same network gives the same bytes."""
    axes = {name: {0: "rows"} for name in (*examples, *outputs)}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter takes 50 times as long and writes this machine's paths into the graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            tuple(examples.values()),
            buffer,  # type: ignore[arg-type]  # this exporter takes buffers
            dynamo=False,
            opset_version=OPSET,
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    model = onnx.load_from_string(buffer.getvalue())
    for name, value in sorted(described.items()):
        model.metadata_props.add(key=name, value=json.dumps(value, sort_keys=True))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def parity_of(
    name: str, content: bytes, given: Mapping[str, Array], expected: Mapping[str, Array], spec: ExportSpec
) -> dict[str, Any]:
    """Return the largest difference between onnxruntime and `expected`. Raises `TrainingError` above the tolerance."""
    found = open_session(content).run(list(expected), dict(given))
    differences = {
        output: float(np.abs(np.asarray(values, np.float64) - expected[output]).max())
        for output, values in zip(expected, found, strict=True)
    }
    beyond = {output: value for output, value in differences.items() if not value <= spec.tolerance}
    count = len(next(iter(given.values())))
    if beyond:
        worst = max(beyond, key=lambda output: np.nan_to_num(beyond[output], nan=np.inf))
        raise TrainingError(
            f"The ONNX graph `{name}` differs from the trained policy: `{worst}` by {beyond[worst]:.3g} on {count} "
            f"real observations, {spec.tolerance:g} is allowed. It was not written; raise `export.tolerance` only "
            "if that difference is harmless to you."
        )
    return {
        "observations": count,
        "max_difference": max(differences.values()),
        "tolerance": spec.tolerance,
        "runtime": f"onnxruntime {onnxruntime.__version__}",
    }


def write_graph(path: Path, content: bytes, entry: dict[str, Any]) -> dict[str, Any]:
    """Write a graph and return its entry in the manifest: file, digest, inputs and outputs before `entry`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    graph = onnx.load_from_string(content).graph
    ends = {"inputs": [_end(value) for value in graph.input], "outputs": [_end(value) for value in graph.output]}
    return {"file": path.name, "sha256": digest_bytes(content)} | ends | entry


def _end(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.tensor_type
    shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return {"name": value.name, "dtype": dtype, "shape": shape}


def _manifest(
    spec: PipelineSpec, dataset: Dataset, models: dict[str, Any], hierarchies: dict[str, Any], units: Mapping[str, str]
) -> dict[str, Any]:
    market = dataset.market
    return origin_of() | {
        "data": {
            "source": spec.data.source if dataset.planted else "bars",
            "fingerprint": market.fingerprint,
            "instruments": list(market.symbols),
            "timeframe": market.timeframe,
            "bars": len(market.time),
            "features": list(dataset.feature_names),
            "macro": list(dataset.macro_names),
            "provenance": dict(dataset.provenance),
        },
        "units": dict(units),
        "models": models,
        "hierarchies": hierarchies,
    }


def origin_of() -> dict[str, Any]:
    """Return what every manifest says of the software."""
    versions = code_versions(CODE)
    return {
        "format": FORMAT,
        "package": {"name": "mtquant", "version": mtquant.__version__},
        "code": {"digest": digest_json(versions), "parts": versions},
        "onnx": {"opset": OPSET, "library": onnx.__version__},
    }
