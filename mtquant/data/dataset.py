"""`Dataset`: a market with its splits, its features and the statistics of its train split.

This is what every phase, evaluation and export reads. Statistics come from the train split only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.data.market import Market
from mtquant.data.splits import NAMES, Split, Splits
from mtquant.errors import DataError
from mtquant.types import Array, Float, Float32

FORMAT = 1
_MARKET = ("time", "ohlcv", "tradable", "history", "macro")
_OWN = ("features", "feature_mean", "feature_std", "point_volatility", "correlation", "macro_block")


@dataclass(frozen=True)
class Dataset:
    """All arrays are read-only and may be memory-mapped."""

    market: Market
    splits: Splits
    features: Float32
    """[T, K, F] causal features, not normalised; value at t uses bars up to and including t."""
    feature_names: tuple[str, ...]
    signal_columns: tuple[int, ...]
    """Columns of `features` that peers are shown (the exponential means of returns)."""
    feature_mean: Float
    """[F] train-split mean over tradable bars of all instruments."""
    feature_std: Float
    """[F] train-split standard deviation, floored at 1e-6."""
    point_volatility: Float
    """[T, K] standard deviation of one bar's price change, in price points, known at t; positive."""
    correlation: Float
    """[K, K] correlation of one-bar returns over the train split (shrunk; positive definite)."""
    macro: Float32
    """[T, 5] macro block of the meta-controller's state, known at t."""
    macro_names: tuple[str, ...]
    planted: bool
    """Whether the market was generated with known truth (decides `auto` settings)."""
    warnings: tuple[str, ...] = ()
    """What the readers reported about the data; repeated in the report."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Symbol to a line that says where its bars came from (file, dialect, digest)."""
    statistics: Mapping[str, Float] = field(default_factory=dict)
    """Further train-split statistics; `features.rebuild_dataset` computes other bars' features with them."""

    def __post_init__(self) -> None:
        own: list[Array] = [
            self.features,
            self.feature_mean,
            self.feature_std,
            self.point_volatility,
            self.correlation,
            self.macro,
        ]
        for array in (*own, *self.statistics.values()):
            array.flags.writeable = False

    @property
    def unit_risk(self) -> float:
        """u0 for a target volatility of 1 a year: multiply by `target_volatility`."""
        return float(1.0 / np.sqrt(self.market.bars_per_year))

    def save(self, folder: Path) -> None:
        """Write every array as `.npy` and the rest as `dataset.json` (last); `load` gives the same bits."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Array] = {name: getattr(self.market, name) for name in _MARKET}
        arrays |= {name: getattr(self, name) for name in _OWN if name != "macro_block"}
        arrays["macro_block"] = self.macro
        arrays |= {f"statistic_{name}": values for name, values in self.statistics.items()}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        text = json.dumps(_description(self), indent=1, sort_keys=True)
        (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Map a saved dataset into memory, read-only.

        Raises `DataError` where `folder` holds no dataset or one that another version wrote.
        """
        page = folder / "dataset.json"
        try:
            found: dict[str, Any] = json.loads(page.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder} holds no readable dataset ({error}). Build it again.") from error
        if found.get("format") != FORMAT:
            raise DataError(f"{page} has format {found.get('format')}; this version reads {FORMAT}. Build it again.")
        arrays = {name: _mapped(folder / f"{name}.npy") for name in (*_MARKET, *_OWN)}
        head = found["market"]
        market = Market(
            tuple(head["symbols"]),
            arrays["time"],
            arrays["ohlcv"],
            arrays["tradable"],
            arrays["history"],
            head["timeframe"],
            float.fromhex(head["bars_per_year"]),
            arrays["macro"],
            tuple(head["macro_names"]),
        )
        segments = found["splits"]
        splits = Splits(*(Split(n, tuple((int(a), int(b)) for a, b in segments[n])) for n in NAMES))
        return cls(
            market,
            splits,
            arrays["features"],
            tuple(found["feature_names"]),
            tuple(found["signal_columns"]),
            arrays["feature_mean"],
            arrays["feature_std"],
            arrays["point_volatility"],
            arrays["correlation"],
            arrays["macro_block"],
            tuple(found["macro_names"]),
            bool(found["planted"]),
            tuple(found["warnings"]),
            dict(found["provenance"]),
            {n: _mapped(folder / f"statistic_{n}.npy") for n in found["statistics"]},
        )


def _description(dataset: Dataset) -> dict[str, Any]:
    market = dataset.market
    return {
        "format": FORMAT,
        "market": {
            "symbols": market.symbols,
            "timeframe": market.timeframe,
            "bars_per_year": float(market.bars_per_year).hex(),
            "macro_names": market.macro_names,
        },
        "splits": {name: dataset.splits[name].segments for name in NAMES},
        "feature_names": dataset.feature_names,
        "signal_columns": dataset.signal_columns,
        "macro_names": dataset.macro_names,
        "planted": dataset.planted,
        "warnings": dataset.warnings,
        "provenance": dataset.provenance,
        "statistics": sorted(dataset.statistics),
    }


def _mapped(path: Path) -> Any:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        # An array without elements cannot be mapped; it is read instead.
        array = _plain(path, error)
    return array


def _plain(path: Path, cause: Exception) -> Array:
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise DataError(f"{path} is missing or broken ({cause}). Build the dataset again.") from cause
    if array.size:
        raise DataError(f"{path} is broken ({cause}). Build the dataset again.") from cause
    array.flags.writeable = False
    return array
