"""Backtests as files: one `.npz` per result, nothing in it but arrays and text; reading executes nothing."""

from collections.abc import Sequence
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from mtquant.errors import StoreError
from mtquant.evaluation.result import BacktestResult
from mtquant.store.files import make_folder, write_atomic

RESULTS = "results"
OPTIONAL = ("books", "budgets", "appetite")


def save_results(folder: Path, results: Sequence[BacktestResult]) -> None:
    """Write `<folder>/results/<name>.npz` for each result. Raises `StoreError` where that is not possible."""
    make_folder(folder / RESULTS)
    for result in results:
        values = {field.name: getattr(result, field.name) for field in fields(result)}
        arrays = {name: np.asarray(value) for name, value in values.items() if value is not None}
        content = BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        write_atomic(folder / RESULTS / f"{result.name}.npz", content.getvalue())


def load_result(folder: Path, name: str) -> BacktestResult:
    """Return what `save_results` wrote. Raises `StoreError` where it is missing or damaged."""
    path = folder / RESULTS / f"{name}.npz"
    try:
        # numpy leaves a file open that it cannot read
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            found: dict[str, Any] = {key: stored[key] for key in stored.files}
        for key in ("name", "bars_per_year"):
            found[key] = found[key].item()
        for key in ("symbols", "groups", "group_of"):
            found[key] = tuple(found[key].tolist())
        missing: dict[str, Any] = dict.fromkeys(OPTIONAL)
        return BacktestResult(**(missing | found))
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise StoreError(f"{path} cannot be read: {error}. `mtquant resume` measures the run again.") from error


def result_names(folder: Path) -> tuple[str, ...]:
    """Return the names of all results in `folder`."""
    return tuple(sorted(path.stem for path in (folder / RESULTS).glob("*.npz")))
