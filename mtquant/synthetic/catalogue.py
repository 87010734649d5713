"""The eight planted instruments: start prices, volatilities, groups and the correlation of their shocks."""

from dataclasses import dataclass

import numpy as np

from mtquant.types import Float

GROUPS = ("forex", "commodities", "equity")


@dataclass(frozen=True)
class PlantedInstrument:
    """One instrument of the planted markets."""

    group: str
    start_price: float
    annual_volatility: float
    volume: float
    """Median volume of a bar; carries no information on direction."""


CATALOGUE = {
    "EURUSD": PlantedInstrument("forex", 1.10, 0.08, 100_000.0),
    "GBPUSD": PlantedInstrument("forex", 1.28, 0.09, 80_000.0),
    "USDJPY": PlantedInstrument("forex", 140.0, 0.09, 90_000.0),
    "XAUUSD": PlantedInstrument("commodities", 1900.0, 0.15, 60_000.0),
    "WTIUSD": PlantedInstrument("commodities", 75.0, 0.37, 50_000.0),
    "SPX500": PlantedInstrument("equity", 4200.0, 0.17, 70_000.0),
    "NAS100": PlantedInstrument("equity", 14500.0, 0.21, 60_000.0),
    "US30": PlantedInstrument("equity", 34000.0, 0.17, 50_000.0),
}
"""Symbol to instrument; volatilities are those of about ten years of real daily bars, rounded."""

SYMBOLS = tuple(CATALOGUE)

_UPPER = (
    (0.60, -0.40, 0.35, 0.10, 0.10, 0.10, 0.10),
    (-0.30, 0.25, 0.15, 0.20, 0.20, 0.20),
    (-0.35, 0.05, 0.15, 0.15, 0.15),
    (0.15, 0.05, 0.05, 0.05),
    (0.25, 0.20, 0.25),
    (0.85, 0.85),
    (0.75,),
)


def shock_correlation(scale: float = 1.0) -> Float:
    """Return `[8, 8]` the correlation I + scale (R - I); equity pairs sit a little below the real .83 to .96."""
    matrix = np.zeros((len(SYMBOLS), len(SYMBOLS)))
    for row, values in enumerate(_UPPER):
        matrix[row, row + 1 :] = values
    return np.eye(len(SYMBOLS)) + scale * (matrix + matrix.T)


def membership(symbols: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the groups that occur among `symbols`, in the order of `GROUPS`, and the index of each symbol's."""
    present = tuple(g for g in GROUPS if any(CATALOGUE[s].group == g for s in symbols))
    return present, tuple(present.index(CATALOGUE[s].group) for s in symbols)
