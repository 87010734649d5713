"""From a market to a `Dataset`: scaled moves, exponential means, indicators, macro block, train statistics.

Every value at t uses bars of its own history up to and including t. Statistics (volatility scale, means,
standard deviations, correlation) come from the train split, or from another dataset (`rebuild_dataset`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mtquant.config.agents import FeatureSpec
from mtquant.config.instruments import InstrumentsSpec
from mtquant.data.correlation import fit_correlation
from mtquant.data.dataset import Dataset
from mtquant.data.indicators import INDICATORS, REGIMES, Indicator
from mtquant.data.kernels import hold_last, unit_variance_mean
from mtquant.data.macro import BOUND, raw_macro
from mtquant.data.market import Market
from mtquant.data.patterns import PATTERNS
from mtquant.data.sessions import SESSION_NAMES, session_features
from mtquant.data.splits import Splits
from mtquant.data.volatility import Kind, VolatilityScale, fit_scale, history_age, point_volatility, scaled_moves
from mtquant.errors import ConfigError, DataError
from mtquant.registry import did_you_mean
from mtquant.types import Bool, Float, Float32

WARM_UP_BARS = 150
"""Bars at the start of a history that no statistic uses: what the slowest feature needs."""
LEAST_STD = 1e-6
KNOWN = INDICATORS | PATTERNS
"""What `features.indicators` may name."""


@dataclass(frozen=True)
class Shown:
    """Per-instrument columns that prices do not contain (planted signals), known at t."""

    values: Float = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """[T, K, S]"""
    names: tuple[str, ...] = ()


def build_dataset(
    market: Market,
    splits: Splits,
    features: FeatureSpec,
    *,
    planted: bool,
    warnings: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
    catalogue: InstrumentsSpec | None = None,
    shown: Shown | None = None,
) -> Dataset:
    """Compute features and statistics of `market`; statistics use the train split only.

    `catalogue` tells the macro proxies which instruments are equity indices. Raises `DataError` where the train
    split is too short or an instrument never moves, `ConfigError` for an unknown indicator.
    """
    kind = _kind(features, planted)
    inside = splits.train.mask(len(market.time))
    fitted = _usable(market, inside)
    scale = fit_scale(market, inside, kind, features.volatility_half_life)
    volatility = point_volatility(market, scale, kind, features.volatility_half_life)
    eps = scaled_moves(market, volatility)
    table, names = _feature_table(market, eps, features, shown or Shown())
    raw, macro_names, notes = raw_macro(market, eps, features.macro_half_life, _groups(catalogue))
    mean, std = _moments(table[fitted[:, None] & market.tradable])
    macro_mean, macro_std = _moments(raw[fitted])
    statistics = {
        "simple_return_std": scale.simple_return_std,
        "typical_return": scale.typical_return,
        "floor_points": scale.floor_points,
        "macro_mean": macro_mean,
        "macro_std": macro_std,
    }
    return Dataset(
        market,
        splits,
        table,
        names,
        _signal_columns(names, features, shown),
        mean,
        std,
        volatility,
        fit_correlation(eps[fitted], market.tradable[fitted], market.symbols, planted=planted),
        _scaled_macro(raw, macro_mean, macro_std),
        macro_names,
        planted,
        (*warnings, *notes),
        dict(provenance or {}),
        statistics,
    )


def rebuild_dataset(
    reference: Dataset,
    market: Market,
    splits: Splits,
    features: FeatureSpec,
    *,
    catalogue: InstrumentsSpec | None = None,
    shown: Shown | None = None,
) -> Dataset:
    """Compute features of other bars of the same instruments with all statistics of `reference`.

    For fresh evaluation histories and later periods; `splits.train` may be empty. Raises `DataError` where the
    instruments or the feature columns differ from those of `reference`.
    """
    if market.symbols != reference.market.symbols:
        raise DataError(f"The bars hold {list(market.symbols)}, the statistics {list(reference.market.symbols)}.")
    kind = _kind(features, reference.planted)
    known = reference.statistics
    scale = VolatilityScale(known["simple_return_std"], known["typical_return"], known["floor_points"])
    volatility = point_volatility(market, scale, kind, features.volatility_half_life)
    eps = scaled_moves(market, volatility)
    table, names = _feature_table(market, eps, features, shown or Shown())
    raw, macro_names, notes = raw_macro(market, eps, features.macro_half_life, _groups(catalogue))
    if names != reference.feature_names or macro_names != reference.macro_names:
        raise DataError(
            f"The bars give the columns {list(names + macro_names)}, the statistics are for "
            f"{list(reference.feature_names + reference.macro_names)}. Use the same features and macro columns."
        )
    return Dataset(
        market,
        splits,
        table,
        names,
        reference.signal_columns,
        reference.feature_mean,
        reference.feature_std,
        volatility,
        reference.correlation,
        _scaled_macro(raw, known["macro_mean"], known["macro_std"]),
        macro_names,
        reference.planted,
        notes,
        {},
        dict(known),
    )


def _kind(features: FeatureSpec, planted: bool) -> Kind:
    if features.volatility == "auto":
        return "fixed" if planted else "ewma"
    return features.volatility


def _groups(catalogue: InstrumentsSpec | None) -> dict[str, str]:
    return {s: spec.group for s, spec in catalogue.instruments.items()} if catalogue else {}


def _usable(market: Market, inside: Bool) -> Bool:
    """Return `[T]` the train bars after the warm-up of their history."""
    fitted: Bool = inside & (history_age(market) >= WARM_UP_BARS)
    least = 2 * WARM_UP_BARS
    if fitted.sum() < least and inside.any():
        # Short data: the second half of what there is stands for the whole.
        age = history_age(market)
        fitted = inside & (age >= np.median(age[inside]))
    if fitted.sum() < 20:
        raise DataError(
            f"The train split has {int(inside.sum())} bars, {int(fitted.sum())} of them usable for statistics; at "
            "least 20 are needed. Bring more bars or raise `data.train_fraction`."
        )
    return fitted


def _feature_table(market: Market, eps: Float, spec: FeatureSpec, shown: Shown) -> tuple[Float32, tuple[str, ...]]:
    """Return `[T, K, F]` and the names of its columns."""
    bars, count = eps.shape
    chosen = _chosen(spec)
    names = [f"ewma_{h:g}" for h in spec.return_half_lives] + [f"lag_{i}" for i in range(spec.return_lags)]
    names += list(chosen) + (list(SESSION_NAMES) if spec.sessions else []) + list(shown.names)
    wanted = (bars, count, len(shown.names))
    if shown.names and shown.values.shape != wanted:
        raise DataError(f"Shown columns have shape {shown.values.shape}; {wanted} was expected.")
    table = np.zeros((bars, count, len(names)), dtype=np.float32)
    for start, stop in market.history_bounds():
        block, moves = table[start:stop], eps[start:stop]
        column = 0
        for half_life in spec.return_half_lives:
            block[:, :, column] = unit_variance_mean(moves, half_life)
            column += 1
        for lag in range(spec.return_lags):
            block[lag:, :, column] = moves[: len(moves) - lag]
            column += 1
        fill_indicators(block[:, :, column : column + len(chosen)], market, start, stop, tuple(chosen.values()))
    column = len(spec.return_half_lives) + spec.return_lags + len(chosen)
    if spec.sessions:
        table[:, :, column : column + len(SESSION_NAMES)] = session_features(market.time)[:, None, :]
        column += len(SESSION_NAMES)
    if shown.names:
        table[:, :, column:] = shown.values
    return table, tuple(names)


def fill_indicators(
    block: Float32, market: Market, start: int, stop: int, functions: Sequence[Callable[[Float], Float]]
) -> None:
    """Fill `[n, K, I]`: indicators see tradable bars only and hold their value while there is no bar."""
    for k in range(len(market.symbols)):
        known = market.tradable[start:stop, k]
        bars = np.ascontiguousarray(market.ohlcv[start:stop, k][known])
        if not len(bars):
            continue
        for i, function in enumerate(functions):
            block[:, k, i] = hold_last(function(bars), known, stop - start)


def _chosen(spec: FeatureSpec) -> dict[str, Indicator]:
    """Return the indicators that `spec` names, with the regime features where asked for."""
    for name in spec.indicators:
        if name not in KNOWN:
            raise ConfigError(f"`features.indicators` names `{name}`.{did_you_mean(name, KNOWN)}")
    chosen = {name: KNOWN[name] for name in spec.indicators}
    return chosen | REGIMES if spec.regimes else chosen


def _signal_columns(names: tuple[str, ...], spec: FeatureSpec, shown: Shown | None) -> tuple[int, ...]:
    """Return the columns peers are shown: exponential means of returns, and planted signals."""
    extra = len(shown.names) if shown else 0
    return (*range(len(spec.return_half_lives)), *range(len(names) - extra, len(names)))


def _moments(values: np.ndarray) -> tuple[Float, Float]:
    """Return mean and standard deviation per column; a column that is constant on the train split gets 1."""
    exact = values.astype(np.float64)
    std = exact.std(axis=0)
    return exact.mean(axis=0), np.where(std > LEAST_STD, std, 1.0)


def _scaled_macro(raw: Float, mean: Float, std: Float) -> Float32:
    out: Float32 = np.clip((raw - mean) / std, -BOUND, BOUND).astype(np.float32)
    return out
