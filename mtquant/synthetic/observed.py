"""What can be recovered from a market without its truth: signals from closes, the regime filter from macro columns."""

import numpy as np

from mtquant.data.market import Market
from mtquant.errors import DataError
from mtquant.synthetic.embedded import EmbeddedParams, filter_regime
from mtquant.types import Float


def by_history(market: Market, values: Float) -> Float:
    """Return a view `[H, L, ...]` of `values [T, ...]`; planted histories are equally long."""
    lengths = {stop - start for start, stop in market.history_bounds()}
    if len(lengths) != 1:
        raise DataError(f"A planted market has histories of one length; {sorted(lengths)} bars were found.")
    return values.reshape(-1, lengths.pop(), *values.shape[1:])


def signals_from_closes(market: Market, volatility: Float, params: EmbeddedParams) -> Float:
    """Return `[T, K, 2]` the slow and fast signal computed causally from closes, zero at the start of a history.

    After 150 bars 1.3 % of the (unknown) initial state is left. `volatility [K]` is one bar's, of simple returns.
    """
    close = by_history(market, market.close)
    eps = np.zeros_like(close)
    eps[:, 1:] = (close[:, 1:] / close[:, :-1] - 1.0) / volatility
    signals = np.zeros((*close.shape, 2))
    state = np.zeros((close.shape[0], close.shape[2], 2))
    for t in range(close.shape[1]):
        state = params.theta * state + params.gain * eps[:, t, :, None]
        signals[:, t] = state
    return signals.reshape(-1, *signals.shape[2:])


def posterior_from_macro(market: Market, params: EmbeddedParams) -> Float:
    """Return `[T, 3]` the regime filter computed causally from the macro columns, 1/3 before each history."""
    return filter_regime(params, by_history(market, market.macro)).reshape(len(market.time), -1)
