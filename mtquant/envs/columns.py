"""Named columns of one instrument's bars, and windows of them as an agent sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.features import KNOWN, fill_indicators
from mtquant.data.indicators import REGIMES, Indicator
from mtquant.data.sessions import SESSION_NAMES, session_features
from mtquant.envs.spaces import ObservationLayout
from mtquant.errors import ConfigError
from mtquant.registry import did_you_mean
from mtquant.types import Array, Float, Float32, Int

POSITION = "position"
"""Column that no bar has: the exposure held, in the row of the last bar."""
NOISE_BARS = 4093
"""Length of the noise that repeats; prime, so that it never keeps step with an episode."""
INDICATOR_COLUMNS: dict[str, Indicator] = KNOWN | REGIMES


def column_table(dataset: Dataset, names: Sequence[str], own: Mapping[str, Indicator] | None = None) -> Float32:
    """Return `[T, K, C]` the columns `names`, known at the close of each bar; `position` is left zero.

    `own` replaces indicators by ones with other parameters. A name that is no indicator and no calendar column is
    taken from the features of the dataset (planted signals) or the macro columns of the market (news, weather), both
    scaled by the train split. Raises `ConfigError` for any other.
    """
    market = dataset.market
    macro = dict(zip(market.macro_names, _scaled_macro(dataset).T, strict=True))
    indicators = INDICATOR_COLUMNS | dict(own or {})
    sessions = dict(zip(SESSION_NAMES, session_features(market.time).T, strict=True))
    table = np.zeros((len(market.time), len(market.symbols), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        block = table[:, :, column : column + 1]
        if name in macro:
            block[:, :, 0] = macro[name][:, None]
        elif name in indicators:
            for start, stop in market.history_bounds():
                fill_indicators(block[start:stop], market, start, stop, (indicators[name],))
        elif name in sessions:
            block[:, :, 0] = sessions[name][:, None]
        elif name in dataset.feature_names:
            index = dataset.feature_names.index(name)
            block[:, :, 0] = (dataset.features[:, :, index] - dataset.feature_mean[index]) / dataset.feature_std[index]
        elif name != POSITION:
            known = {*indicators, *sessions, *macro, *dataset.feature_names, POSITION}
            raise ConfigError(
                f"`columns` names `{name}`, which is no indicator and no macro column of these bars."
                f"{did_you_mean(name, known)}"
            )
    return table


def _scaled_macro(dataset: Dataset) -> Float:
    """Return `[T, M]` the macro columns over mean and deviation of the train split, within [-10, 10]."""
    market = dataset.market
    inside = dataset.splits.train.mask(len(market.time))
    if not market.macro_names or not inside.any():
        return np.zeros((len(market.time), len(market.macro_names)))
    mean, std = market.macro[inside].mean(axis=0), market.macro[inside].std(axis=0)
    scaled: Float = np.clip((market.macro - mean) / np.where(std > 0, std, 1.0), -10.0, 10.0)
    return scaled


@dataclass(frozen=True)
class Window:
    """The last bars of a column table, as matrices."""

    table: Float32
    """[T, K, C]"""
    names: tuple[str, ...]
    bars: int
    noise: float = 0.0
    """Standard deviation of what is added to every number; a bar has the same noise whenever it is seen."""
    _drawn: Float32 = field(init=False, repr=False, compare=False)

    def layout(self) -> ObservationLayout:
        """Return the layout of one matrix, oldest bar first."""
        blocks = tuple((f"bar-{age}", len(self.names)) for age in reversed(range(self.bars)))
        return ObservationLayout(blocks, (self.bars, len(self.names)))

    def draw_offset(self, rng: np.random.Generator, rows: int) -> Int:
        """Return `[rows]` where the noise of new episodes begins."""
        return rng.integers(0, NOISE_BARS, size=rows) if self.noise else np.zeros(rows, dtype=np.int64)

    def seen(self, t: Int, slot: Int, columns: Sequence[int], offset: Int, held: Float) -> Array:
        """Return `[N, bars, C]` the windows that end at bars `t` [N] of instruments `slot` [N].

        Only `columns` are shown, the others are zero. `offset` [N] is that of the noise, `held` [N] the exposure.
        """
        index = t[:, None] + np.arange(1 - self.bars, 1)
        out = np.zeros((len(t), self.bars, len(self.names)), dtype=np.float32)
        for column in columns:
            if self.names[column] == POSITION:
                out[:, -1, column] = held
                continue
            values = self.table[index, slot[:, None], column]
            if self.noise:
                values = values + self._drawn[(offset[:, None] + index) % NOISE_BARS, column]
            out[:, :, column] = values
        return out

    def last(self, t: Int, slot: Int) -> Float32:
        """Return `[N, C]` the columns at bars `t` [N], without noise."""
        return self.table[t, slot]

    def __post_init__(self) -> None:
        rng = Streams(0).rng("observation noise")
        drawn = rng.standard_normal((NOISE_BARS if self.noise else 0, len(self.names)))
        object.__setattr__(self, "_drawn", (self.noise * drawn).astype(np.float32))
