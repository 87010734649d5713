"""Array aliases and the one protocol that everything acting obeys."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Array = NDArray[Any]


class ActFn(Protocol):
    """Anything that acts: `observation [N, d]` to `action [N, a]`.

    Policies, baselines, reference policies and ONNX sessions all are one. A call must not depend on
    which other rows are in the batch.
    """

    def __call__(self, observation: Array, /) -> Array: ...
