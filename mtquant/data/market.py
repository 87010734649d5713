"""`Market`: the aligned, read-only bars of several instruments."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mtquant.errors import DataError
from mtquant.types import Bool, Float, Int

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


@dataclass(frozen=True)
class Market:
    """Bars of K instruments on one clock, in one or several independent histories.

    Where `tradable` is False there was no bar: open, high, low and close repeat the last close (so that
    positions can be marked), volume is 0, and nothing may be traded. A history starts at the first bar
    at which every instrument has had a bar.
    """

    symbols: tuple[str, ...]
    time: Int
    """[T] open time of the bar, nanoseconds since 1970 UTC; increasing within a history."""
    ohlcv: Float
    """[T, K, 5] open, high, low, close, volume; finite."""
    tradable: Bool
    """[T, K] whether the instrument has a bar."""
    history: Int
    """[T] index of the history a bar belongs to; non-decreasing."""
    timeframe: str
    """Bar length: `D1`, `H4`, `H1`, `M30`, `M5`, ..."""
    bars_per_year: float
    """Bars of the clock per year, for annualising."""
    macro: Float = field(default_factory=lambda: np.empty((0, 0)))
    """[T, M] macro columns known at the close of the bar (may have no column)."""
    macro_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bars, slots = len(self.time), len(self.symbols)
        if self.macro.size == 0 and self.macro.shape != (bars, 0):
            object.__setattr__(self, "macro", np.zeros((bars, 0)))
        shapes = {
            "ohlcv": (self.ohlcv.shape, (bars, slots, 5)),
            "tradable": (self.tradable.shape, (bars, slots)),
            "history": (self.history.shape, (bars,)),
            "macro": (self.macro.shape, (bars, len(self.macro_names))),
        }
        for name, (found, wanted) in shapes.items():
            if found != wanted:
                raise DataError(f"Market `{name}` has shape {found}; {wanted} was expected.")
        if not np.isfinite(self.ohlcv).all() or not np.isfinite(self.macro).all():
            raise DataError("Market holds values that are not finite; missing bars belong in `tradable`.")
        for array in (self.time, self.ohlcv, self.tradable, self.history, self.macro):
            array.flags.writeable = False

    @property
    def close(self) -> Float:
        """[T, K] closes."""
        return self.ohlcv[:, :, CLOSE]

    def history_bounds(self) -> list[tuple[int, int]]:
        """Return `(start, stop)` of every history."""
        edges = np.flatnonzero(np.diff(self.history)) + 1
        starts = [0, *edges.tolist()]
        return list(zip(starts, [*edges.tolist(), len(self.time)], strict=True))

    def select(self, symbols: Sequence[str]) -> "Market":
        """Return the same clock with only `symbols`, in that order."""
        missing = [s for s in symbols if s not in self.symbols]
        if missing:
            raise DataError(f"Instruments {missing} are not in the market, which has {list(self.symbols)}.")
        columns = [self.symbols.index(s) for s in symbols]
        return Market(
            tuple(symbols),
            self.time,
            np.ascontiguousarray(self.ohlcv[:, columns]),
            np.ascontiguousarray(self.tradable[:, columns]),
            self.history,
            self.timeframe,
            self.bars_per_year,
            self.macro,
            self.macro_names,
        )

    def digests(self) -> dict[str, str]:
        """Return the content digest of each instrument, of the clock and of the macro columns."""
        clock = (self.time, self.history, np.array([self.bars_per_year]))
        out = {"clock": _digest(*clock), "macro": _digest(self.macro)}
        for k, symbol in enumerate(self.symbols):
            out[symbol] = _digest(self.ohlcv[:, k], self.tradable[:, k])
        return out

    @property
    def fingerprint(self) -> str:
        """Return one digest over everything the market holds."""
        parts = "".join(f"{name}:{digest};" for name, digest in sorted(self.digests().items()))
        return hashlib.sha256(parts.encode()).hexdigest()


def _digest(*arrays: np.ndarray) -> str:
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()
