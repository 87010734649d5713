"""Complete learner state as named arrays and JSON: networks, optimisers, random generators."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from mtquant.types import Array

Parts = tuple[dict[str, Array], dict[str, Any]]


def capture_module(prefix: str, module: nn.Module) -> dict[str, Array]:
    """Return the tensors of `module` under `prefix`."""
    return {f"{prefix}.{name}": tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def restore_module(prefix: str, module: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Load what `capture_module` returned."""
    head = f"{prefix}."
    module.load_state_dict(
        {name.removeprefix(head): torch.from_numpy(np.array(a)) for name, a in arrays.items() if name.startswith(head)}
    )


def capture_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> Parts:
    """Return the optimiser's tensors and the numbers of its groups."""
    state = optimizer.state_dict()
    arrays = {
        f"{prefix}.{index}.{name}": value.detach().cpu().numpy().copy()
        for index, entries in state["state"].items()
        for name, value in entries.items()
    }
    groups = [{k: list(v) if isinstance(v, tuple) else v for k, v in group.items()} for group in state["param_groups"]]
    return arrays, {prefix: groups}


def restore_optimizer(
    prefix: str, optimizer: torch.optim.Optimizer, arrays: Mapping[str, Array], values: Mapping[str, Any]
) -> None:
    """Load what `capture_optimizer` returned."""
    entries: dict[int, dict[str, torch.Tensor]] = {}
    head = f"{prefix}."
    for name, array in arrays.items():
        if name.startswith(head):
            index, key = name.removeprefix(head).split(".", 1)
            entries.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in values[prefix]]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def capture_rng() -> Parts:
    """Return the states of Python's, numpy's and torch's global generators, which SB3 draws from."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - SB3 shuffles with it
    version, internal, gauss_next = random.getstate()
    arrays: dict[str, Array] = {
        "rng.numpy": np.asarray(keys, dtype=np.uint32),
        "rng.python": np.array(internal, dtype=np.int64),
        "rng.torch": torch.get_rng_state().numpy().copy(),
    }
    values = {"rng": {"numpy": [kind, position, has_gauss, gauss], "python": [version, gauss_next]}}
    return arrays, values


def restore_rng(arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
    """Set the global generators to what `capture_rng` returned; do this last, building networks draws."""
    kind, position, has_gauss, gauss = values["rng"]["numpy"]
    np.random.set_state((kind, np.asarray(arrays["rng.numpy"]), position, has_gauss, gauss))  # noqa: NPY002
    version, gauss_next = values["rng"]["python"]
    random.setstate((version, tuple(int(x) for x in arrays["rng.python"]), gauss_next))
    torch.set_rng_state(torch.from_numpy(np.array(arrays["rng.torch"])))


def seed_everything(seed: int) -> None:
    """Seed the global generators that libraries draw from and ask torch for deterministic algorithms."""
    random.seed(seed)  # noqa: TID251 - libraries draw from it
    np.random.seed(seed)  # noqa: NPY002 - SB3 shuffles minibatches with it
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
