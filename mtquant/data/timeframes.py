"""Bar lengths: labels (`M5`, `H1`, `D1`, ...), their nanoseconds, and inference from spacing."""

import re

import numpy as np

from mtquant.errors import ConfigError, DataError
from mtquant.types import Int

MINUTE = 60_000_000_000
_UNITS = {"M": MINUTE, "H": 60 * MINUTE, "D": 1440 * MINUTE, "W": 7 * 1440 * MINUTE}
_LABEL = re.compile(r"([MHDW])([1-9]\d{0,2})")
FIVE_MINUTES, HALF_HOUR = 5 * MINUTE, 30 * MINUTE


def length(label: str) -> int:
    """Return the nanoseconds of a bar length; raises `ConfigError` for what is no label."""
    match = _LABEL.fullmatch(label)
    if match is None:
        raise ConfigError(f"`{label}` is no bar length. Write M5, M30, H1, H4, D1 or the like (`data.timeframe`).")
    return _UNITS[match[1]] * int(match[2])


def is_label(text: str) -> bool:
    """Return whether `text` is a bar length."""
    return _LABEL.fullmatch(text) is not None


def label(nanoseconds: int) -> str:
    """Return the label of a bar length in whole minutes; raises `DataError` for another."""
    for unit in ("W", "D", "H", "M"):
        if nanoseconds >= _UNITS[unit] and nanoseconds % _UNITS[unit] == 0:
            return f"{unit}{nanoseconds // _UNITS[unit]}"
    raise DataError(f"Bars are {nanoseconds / 1e9:g} seconds apart; whole minutes are expected. Use time bars.")


def inferred(time: Int) -> str:
    """Return the bar length that the median spacing of bar times gives; needs two bars."""
    if len(time) < 2:
        raise DataError(f"A bar length cannot be inferred from {len(time)} bars. Set `data.timeframe`.")
    return label(int(np.median(np.diff(time))))
