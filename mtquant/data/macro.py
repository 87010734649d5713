"""The macro block: five causal numbers on the state of the whole market, for the meta-controller.

Columns of the market come first. Named `vix`, `dxy` or `rates` they take the place of the proxy of that name;
other columns are shown as exponential means and as slower means of the differences of neighbours. What is left
of the five places is filled with proxies computed from the instruments. `macro_names` says which is which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mtquant.data.kernels import exponential_mean, ratio, unit_variance_mean
from mtquant.data.market import Market
from mtquant.types import Float

PLACES = 5
CONTRAST_STRETCH = 3.0
"""Half-life of contrasts over that of levels."""
LONG_HALF_LIFE = 60.0
BOUND = 10.0
CURRENCIES = frozenset(
    ("EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "MXN", "ZAR", "PLN", "CNH", "SGD", "HKD")
)
INDICES = frozenset(
    ("SPX500", "NAS100", "US30", "US500", "US100", "SPX", "NDX", "DJI", "ES", "NQ", "YM", "GER40", "UK100", "JPN225")
)


@dataclass(frozen=True)
class Moves:
    """Scaled moves of one history, `[n, K]`, and what each instrument is."""

    eps: Float
    symbols: tuple[str, ...]
    groups: Mapping[str, str]
    half_life: float


def _mean_move(moves: Moves, signs: Float) -> Float:
    """Return `[n]` the signed mean move; summed row by row, because a matrix product's rounding depends on n."""
    out: Float = (moves.eps * signs).sum(axis=1) / np.abs(signs).sum()
    return out


def usd_sign(symbol: str) -> float:
    """Return +1 where a rise of the pair means a stronger dollar, -1 the other way, 0 for what is no dollar pair."""
    base, quote = symbol[:3].upper(), symbol[3:].upper()
    if base == "USD" and quote in CURRENCIES:
        return 1.0
    return -1.0 if quote == "USD" and base in CURRENCIES else 0.0


def _volatility(moves: Moves) -> Float | None:
    """Stand in for VIX: log of short over long volatility of the equity indices' mean move."""
    slots = [k for k, s in enumerate(moves.symbols) if s.upper() in INDICES or moves.groups.get(s) == "equity"]
    if not slots:
        return None
    square = moves.eps[:, slots].mean(axis=1) ** 2
    short, long = exponential_mean(square, moves.half_life), exponential_mean(square, LONG_HALF_LIFE)
    return 0.5 * np.log(np.maximum(ratio(short, long, otherwise=1.0), 1e-6))


def _dollar(moves: Moves) -> Float | None:
    """Stand in for DXY: exponential mean of the dollar's average move against the other currencies."""
    signs = np.array([usd_sign(s) for s in moves.symbols])
    if not signs.any():
        return None
    return unit_variance_mean(_mean_move(moves, signs), moves.half_life)


def _rates(moves: Moves) -> Float | None:
    """Stand in for dollar rates: exponential mean of USDJPY's moves less gold's."""
    signs = np.array([{"USDJPY": 1.0, "XAUUSD": -1.0}.get(s.upper(), 0.0) for s in moves.symbols])
    if not signs.any():
        return None
    return unit_variance_mean(_mean_move(moves, signs), moves.half_life)


def _momentum(moves: Moves) -> Float | None:
    """Exponential mean of the average move of all instruments."""
    return unit_variance_mean(moves.eps.mean(axis=1), CONTRAST_STRETCH * moves.half_life)


def _correlation(moves: Moves) -> Float | None:
    """Average absolute correlation of all pairs over the last half-life of 60 bars."""
    count = moves.eps.shape[1]
    if count < 2:
        return None
    first, second = np.triu_indices(count, 1)
    shocks = np.clip(moves.eps, -BOUND, BOUND)
    variance = exponential_mean(shocks**2, LONG_HALF_LIFE)
    covariance = exponential_mean(shocks[:, first] * shocks[:, second], LONG_HALF_LIFE)
    size = np.sqrt(variance[:, first] * variance[:, second])
    out: Float = np.abs(ratio(covariance, size)).mean(axis=1)
    return out


PROXIES: dict[str, Callable[[Moves], Float | None]] = {
    "vix": _volatility,
    "dxy": _dollar,
    "rates": _rates,
    "momentum": _momentum,
    "correlation": _correlation,
}

Plan = tuple[tuple[str, Callable[[Moves, Float], Float | None]], ...]


def plan(market: Market) -> tuple[Plan, tuple[str, ...]]:
    """Return the five places as `(name, function of moves and macro columns)`, and the columns left over."""
    known = {name.lower(): j for j, name in enumerate(market.macro_names)}
    named = [n for n in ("vix", "dxy", "rates") if n in known]
    others = [j for name, j in known.items() if name not in named]
    places: list[tuple[str, Callable[[Moves, Float], Float | None]]] = []
    if named:
        for name in ("vix", "dxy", "rates"):
            places.append(_level(market, known[name]) if name in known else _proxy(name))
        places += [_level(market, j) for j in others]
        places += [_proxy("momentum"), _proxy("correlation")]
    else:
        places += [_level(market, j) for j in others]
        places += [_contrast(market, a, b) for a, b in pairwise(others[:3])]
        places += [_proxy(name) for name in PROXIES]
    used = places[:PLACES]
    shown = {name for name, _ in used}
    unused = tuple(n for n in market.macro_names if n not in shown)
    return tuple(used), unused


def _level(market: Market, column: int) -> tuple[str, Callable[[Moves, Float], Float]]:
    def level(moves: Moves, columns: Float) -> Float:
        return exponential_mean(columns[:, column], moves.half_life)

    return market.macro_names[column], level


def _contrast(market: Market, first: int, second: int) -> tuple[str, Callable[[Moves, Float], Float]]:
    def contrast(moves: Moves, columns: Float) -> Float:
        return exponential_mean(columns[:, first] - columns[:, second], CONTRAST_STRETCH * moves.half_life)

    return f"{market.macro_names[first]} - {market.macro_names[second]}", contrast


def _proxy(name: str) -> tuple[str, Callable[[Moves, Float], Float | None]]:
    def proxy(moves: Moves, _: Float) -> Float | None:
        return PROXIES[name](moves)

    return f"{name} (proxy)", proxy


def raw_macro(
    market: Market, eps: Float, half_life: float, groups: Mapping[str, str]
) -> tuple[Float, tuple[str, ...], tuple[str, ...]]:
    """Return `[T, 5]` unscaled numbers, their names, and warnings.

    A proxy whose instruments are missing gives 0 and is named `... (none)`.
    """
    places, unused = plan(market)
    out = np.zeros((len(market.time), PLACES))
    names = [name for name, _ in places]
    for start, stop in market.history_bounds():
        moves = Moves(eps[start:stop], market.symbols, groups, half_life)
        for j, (name, function) in enumerate(places):
            column = function(moves, market.macro[start:stop])
            if column is None:
                names[j] = name.replace("(proxy)", "(none)")
            else:
                out[start:stop, j] = column
    warnings = (f"macro columns {list(unused)} are not used: the macro block has {PLACES} places",) if unused else ()
    return out, tuple(names), warnings
