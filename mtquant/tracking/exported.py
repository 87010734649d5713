"""The models that an export left, read from its manifest: what becomes a model in the tracker. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.files import guarded
from mtquant.store.units import Unit

MANIFEST = "manifest.json"
HIERARCHY = "hierarchy"
"""Kind of a graph of meta-controller and specialists together."""


@dataclass(frozen=True)
class ExportedModel:
    """One ONNX file and what its manifest says of it."""

    name: str
    """`phase1-forex`, `phase3-hierarchy`."""
    path: Path
    sha256: str
    unit: str
    """Name of the unit that trained it; of the export itself for a hierarchy."""
    kind: str
    """`policy` or `hierarchy`."""
    entry: Mapping[str, Any]

    @property
    def params(self) -> dict[str, str]:
        """Return what a person wants to see beside the model."""
        parity = self.entry["parity"]
        shown = {
            "instruments": ", ".join(self.entry["instruments"]),
            "parity_max_difference": f"{parity['max_difference']:.3g}",
            "parity_observations": str(parity["observations"]),
        }
        weights = self.entry["weights"]
        many = weights if isinstance(weights, Mapping) else {str(self.entry["agent"]): weights}
        return shown | {f"weights.{agent}": str(digest) for agent, digest in many.items()}


def exported_models(unit: Unit) -> list[ExportedModel]:
    """Return the models of an export's unit, none where it has no manifest. Raises `StoreError` for a damaged one."""
    path = unit.outputs / MANIFEST
    try:
        with guarded(path, "read", passing=(FileNotFoundError,)):
            manifest: dict[str, Any] = json.loads(path.read_bytes())
        policies = [_policy(unit, name, entry) for name, entry in manifest["models"].items()]
        whole = [
            _model(unit, name, entry, unit.spec.name, HIERARCHY) for name, entry in manifest["hierarchies"].items()
        ]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is damaged: {error}. `mtquant verify` compares files with their digests.") from error
    return policies + whole


def _policy(unit: Unit, name: str, entry: Mapping[str, Any]) -> ExportedModel:
    agent, phase = str(entry["agent"]), entry["provenance"].get("phase")
    trained = {1: f"phase1-{agent}", 2: "phase2-meta", 3: "phase3-joint"}.get(phase, unit.spec.name)
    return _model(unit, name, entry, trained, "policy")


def _model(unit: Unit, name: str, entry: Mapping[str, Any], trained: str, kind: str) -> ExportedModel:
    return ExportedModel(name, unit.outputs / str(entry["file"]), str(entry["sha256"]), trained, kind, entry)
