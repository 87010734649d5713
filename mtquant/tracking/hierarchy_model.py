"""The exported hierarchy as a model that MLflow serves: this file goes into the model and is run when it is loaded.

It needs MLflow, numpy and onnxruntime, not mtquant. Nothing in it unpickles.
"""

from typing import Any

import mlflow
import numpy as np
import onnxruntime
from mlflow.pyfunc.model import PythonModel, PythonModelContext

GRAPH = "hierarchy"
"""Name of the artifact: one ONNX graph."""


class Decisions:
    """One bar's decisions: what meta-controller and specialists see and remember, to exposures and what to remember."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the graph on one thread, so that numbers do not depend on the load of the machine."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = context.artifacts[GRAPH]
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(
        self, _: PythonModelContext, model_input: dict[str, Any], params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return every output of the graph by name for inputs by name, each with one row per parallel portfolio."""
        given = {entry.name: np.asarray(model_input[entry.name]) for entry in self.session.get_inputs()}
        names = [entry.name for entry in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, given), strict=True))


# MLflow would make a schema of annotations; the declared signature is the one that holds.
Decisions.predict.__annotations__.clear()


class HierarchyModel(Decisions, PythonModel):
    """`Decisions` as MLflow wants it; in a class of its own because shapes are checked by the declared signature."""


mlflow.models.set_model(HierarchyModel())
