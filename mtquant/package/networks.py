"""A team's networks in the forms that leave the package: ONNX graphs, and plain tensors that numpy can play."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import nn

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.critic_bundle import CriticBundle
from mtquant.config.agents import ExportSpec
from mtquant.evaluation.team import Seen
from mtquant.export import export_bundle, graph_of, parity_of, write_graph
from mtquant.types import Array


def export_networks(
    policies: Mapping[str, PolicyBundle],
    critics: Mapping[str, CriticBundle],
    seen: Mapping[str, Seen],
    folder: Path,
    spec: ExportSpec,
) -> dict[str, Any]:
    """Write `<agent>_actor.onnx` and `<agent>_critic.onnx`; return `models` and `critics` of the manifest.

    `seen` are real observations. Raises `TrainingError` where ONNX and torch differ by more than `spec.tolerance`.
    """
    models = {
        agent: export_bundle(bundle, folder / f"{agent}_actor.onnx", seen[agent].observation, spec)
        for agent, bundle in policies.items()
    }
    judged = {
        agent: _export_critic(critic, folder / f"{agent}_critic.onnx", seen[agent], spec)
        for agent, critic in critics.items()
    }
    return {"models": models, "critics": judged}


def _export_critic(critic: CriticBundle, path: Path, seen: Seen, spec: ExportSpec) -> dict[str, Any]:
    entry = {"agent": critic.agent, "weights": critic.digest}
    given = {"observation": np.ascontiguousarray(seen.observation, dtype=np.float32)}
    if critic.state:
        given["state"] = np.ascontiguousarray(seen.state, dtype=np.float32)
    expected = critic.values(*given.values())[:, None]
    examples = {name: torch.from_numpy(array[:2]) for name, array in given.items()}
    content = graph_of(critic.network, examples, ("value",), entry)
    # values are in units of reward, which may be thousands: compared in their own size
    size = max(1.0, float(np.abs(expected).max()))
    limits = spec.model_copy(update={"tolerance": spec.tolerance * size})
    return write_graph(
        path, content, entry | {"parity": parity_of(path.stem, content, given, {"value": expected}, limits)}
    )


def tensors_of(policies: Mapping[str, PolicyBundle], critics: Mapping[str, CriticBundle]) -> bytes:
    """Return all networks of a team as one safetensors file.

    `<agent>.actor.*` and `<agent>.critic.*`, each with `mean`, `std`, `identity`, and in order `layer<n>.weight` and
    `layer<n>.bias`; a critic also has `moments`, mean and deviation of the returns.
    """
    found: dict[str, Array] = {}
    for agent, bundle in policies.items():
        actor = bundle.actor
        body, head = actor.body, actor.head
        assert isinstance(body, nn.Sequential)
        assert isinstance(head, nn.Linear)
        found |= _network(f"{agent}.actor", actor.normaliser, [*body, head], actor.identity)
        central = critics[agent].network.central
        found |= _network(f"{agent}.critic", central.normaliser, list(central.body), critics[agent].network.identity)
        found[f"{agent}.critic.moments"] = _plain(critics[agent].network.moments)
    return save(found)


def _network(name: str, normaliser: nn.Module, layers: list[nn.Module], identity: torch.Tensor) -> dict[str, Array]:
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    found = {f"{name}.{key}": _plain(tensor) for key, tensor in normaliser.named_buffers()}
    found[f"{name}.identity"] = _plain(identity)
    for number, layer in enumerate(linear):
        found[f"{name}.layer{number}.weight"] = _plain(layer.weight)
        found[f"{name}.layer{number}.bias"] = _plain(layer.bias)
    return found


def _plain(tensor: torch.Tensor) -> Array:
    return np.array(tensor.detach().cpu().numpy(), order="C")
