"""Exported policies as models in MLflow: the ONNX flavour for each, models-from-code for the hierarchy; no pickle."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow.entities import LoggedModel, LoggedModelInput, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from mtquant.tracking.exported import MANIFEST, ExportedModel
from mtquant.tracking.published import Published

DIGEST_TAG, POLICY = "mtquant.sha256", "mtquant-policy"
CODE = Path(__file__).with_name("hierarchy_model.py")
SERVING, ONNX = ("mlflow", "numpy", "onnxruntime"), ("onnx",)
Save = Callable[[Path, Model], None]


class ModelLog:
    """Logs models by explicit ids; one with the same content under the same run is never logged twice."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    def log_policies(self, models: Sequence[ExportedModel], runs: Mapping[str, Published], export: Published) -> None:
        """Log every exported graph under the run of the unit that trained it, or under the export's.

        The export's run names those of other units as its inputs.
        """
        read: list[str] = []
        for model in models:
            run = runs.get(model.unit, export)
            tags = {"mtquant.unit": model.unit, "mtquant.kind": model.kind}
            model_id = self._log(run, model.name, model.sha256, f"onnx {model.kind}", tags, model.params, _onnx(model))
            if run.run_id != export.run_id:
                read.append(model_id)
        found = self.client.get_run(export.run_id).inputs
        known = {entry.model_id for entry in (found.model_inputs if found else None) or ()}
        new = [LoggedModelInput(model_id) for model_id in read if model_id not in known]
        if new:
            self.client.log_inputs(export.run_id, models=new)

    def log_hierarchy(self, model: ExportedModel, run: Published, tags: Mapping[str, str]) -> str:
        """Log the hierarchy that deploys under the run's parent as a model that can be served; return its id."""
        return self._log(run, POLICY, model.sha256, "pyfunc hierarchy", tags, model.params, _pyfunc(model))

    def hierarchy_of(self, run: Published, sha256: str) -> LoggedModel | None:
        """Return the servable model of a run's parent, if it is there whole."""
        found = self._found(run, POLICY, sha256)
        return found if found is not None and found.status == LoggedModelStatus.READY else None

    def _found(self, run: Published, name: str, sha256: str) -> LoggedModel | None:
        query = f"name = '{name}' AND source_run_id = '{run.run_id}' AND tags.`{DIGEST_TAG}` = '{sha256}'"
        found = self.client.search_logged_models([run.experiment_id], query, max_results=1)
        return found[0] if found else None

    def _log(
        self,
        run: Published,
        name: str,
        sha256: str,
        kind: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        save: Save,
    ) -> str:
        found = self._found(run, name, sha256)
        if found is None:
            found = self.client.create_logged_model(
                run.experiment_id, name, run.run_id, {**tags, DIGEST_TAG: sha256}, dict(params), kind
            )
        if found.status != LoggedModelStatus.READY:
            with TemporaryDirectory() as folder, warnings.catch_warnings():
                # MLflow asks for examples and type hints; the signature is declared.
                warnings.simplefilter("ignore", UserWarning)
                place = Path(folder) / "model"
                save(place, Model(model_id=found.model_id, run_id=run.run_id))
                self.client.log_model_artifacts(found.model_id, str(place))
            self.client.finalize_logged_model(found.model_id, LoggedModelStatus.READY)
        outputs = self.client.get_run(run.run_id).outputs
        if found.model_id not in {entry.model_id for entry in (outputs.model_outputs if outputs else None) or ()}:
            self.client.log_outputs(run.run_id, [LoggedModelOutput(found.model_id, 0)])
        return str(found.model_id)


def _onnx(model: ExportedModel) -> Save:
    def save(place: Path, described: Model) -> None:
        import mlflow.onnx
        import onnx

        mlflow.onnx.save_model(
            onnx.load(str(model.path)),
            str(place),
            signature=signature_of(model.entry),
            # stated, because MLflow would find them out by importing everything in a process of its own
            pip_requirements=requirements(*SERVING, *ONNX),
            mlflow_model=described,
            # one file, byte for byte the exported one
            save_as_external_data=False,
        )

    return save


def _pyfunc(model: ExportedModel) -> Save:
    def save(place: Path, described: Model) -> None:
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            str(place),
            python_model=str(CODE),
            artifacts={"hierarchy": str(model.path), "manifest": str(model.path.with_name(MANIFEST))},
            signature=signature_of(model.entry),
            pip_requirements=requirements(*SERVING),
            mlflow_model=described,
        )

    return save


def signature_of(entry: Mapping[str, Any]) -> ModelSignature:
    """Return inputs and outputs as the manifest has them; the number of rows is free."""
    inputs, outputs = (Schema([_tensor(value) for value in entry[end]]) for end in ("inputs", "outputs"))
    return ModelSignature(inputs, outputs)


def _tensor(value: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(-1 if isinstance(axis, str) else int(axis) for axis in value["shape"])
    return TensorSpec(np.dtype(value["dtype"]), shape, value["name"])


def requirements(*names: str) -> list[str]:
    """Return the versions that the model was checked with."""
    return [f"{name}=={metadata.version(name)}" for name in names]
