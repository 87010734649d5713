"""The layout `<split>/<history>/<SYMBOL>.csv` in which planted markets are exported, read back bit for bit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.data.align import align
from mtquant.data.bars import Bars, read_bars
from mtquant.data.macro_file import attach, read_macro
from mtquant.data.market import Market
from mtquant.data.splits import NAMES, Splits, by_history
from mtquant.errors import DataError

ABOUT_FILE = "market.json"
"""Optional: `timeframe` and `bars_per_year`, which bars alone do not tell exactly."""


def is_history_layout(folder: Path) -> bool:
    """Return whether the folder holds split folders with history folders in them."""
    return (folder / "train").is_dir() and any(child.is_dir() for child in (folder / "train").iterdir())


def load_histories(
    folder: Path, symbols: Sequence[str], timeframe: str | None
) -> tuple[Market, Splits, dict[str, str]]:
    """Return the market, whole histories as splits, and provenance.

    Histories follow each other by split and by the number in their name. Raises `DataError` for a missing split or
    file, and where histories differ in bar length or macro columns.
    """
    about = _about(folder)
    parts: list[Market] = []
    counts = []
    digests: dict[str, list[str]] = {s: [] for s in symbols}
    for split in NAMES:
        histories = _ordered(folder, split)
        counts.append(len(histories))
        for history in histories:
            bars = [_bars(history, symbol) for symbol in symbols]
            for one in bars:
                digests[one.symbol].append(one.digest)
            part = align(bars, timeframe or about.get("timeframe"))
            macro = history / "macro.csv"
            parts.append(attach(part, read_macro(macro))[0] if macro.is_file() else part)
    market = _joined(folder, parts, about.get("bars_per_year"))
    size = f"{len(parts)} histories of {folder.name}, {len(market.time)} bars"
    provenance = {s: f"{size}, first file sha256 {found[0][:16]}" for s, found in digests.items()}
    return market, by_history(market, (counts[0], counts[1], counts[2])), provenance


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT_FILE
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}). Export the market again.") from error
    return found


def _ordered(folder: Path, split: str) -> list[Path]:
    histories = sorted((p for p in (folder / split).glob("*") if p.is_dir()), key=_number)
    if not histories:
        raise DataError(
            f"{folder} has no histories in `{split}/`; `<split>/<history>/<SYMBOL>.csv` is expected for {NAMES}."
        )
    return histories


def _number(path: Path) -> tuple[int, str]:
    digits = "".join(c for c in path.name if c.isdigit())
    return (int(digits) if digits else -1, path.name)


def _bars(history: Path, symbol: str) -> Bars:
    path = next((history / f"{symbol}{e}" for e in (".csv", ".csv.gz") if (history / f"{symbol}{e}").is_file()), None)
    if path is None:
        there = sorted(p.name for p in history.iterdir())
        raise DataError(f"{history} has no {symbol}.csv; there is: {there}. Export the market again.")
    # A generated price is what it is: rules of real instruments (sign, plausibility) are not applied to it.
    return read_bars(path, symbol, price_may_be_negative=True)


def _joined(folder: Path, parts: Sequence[Market], yearly: float | None) -> Market:
    first = parts[0]
    if any(p.timeframe != first.timeframe or p.macro_names != first.macro_names for p in parts):
        raise DataError(f"The histories of {folder} differ in bar length or macro columns. Export the market again.")
    bars = [len(p.time) for p in parts]
    return Market(
        first.symbols,
        np.concatenate([p.time for p in parts]),
        np.concatenate([p.ohlcv for p in parts]),
        np.concatenate([p.tradable for p in parts]),
        np.repeat(np.arange(len(parts)), bars),
        first.timeframe,
        yearly if yearly is not None else float(np.average([p.bars_per_year for p in parts], weights=bars)),
        np.concatenate([p.macro for p in parts]),
        first.macro_names,
    )
