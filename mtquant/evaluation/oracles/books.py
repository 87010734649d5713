"""Books: the exposures a policy takes on every bar when nothing stands in its way, and their moments."""

from dataclasses import dataclass

import numpy as np

from mtquant.data.market import Market
from mtquant.evaluation.result import BacktestResult
from mtquant.synthetic.observed import by_history
from mtquant.synthetic.planted import Truth
from mtquant.types import ActFn, Bool, Float


def follow(policy: ActFn, market: Market, warmup: int) -> Float:
    """Return `[T, K]` the exposure decided at each bar, flat before `warmup` bars of a history.

    No limits, no price drift of positions: the frictionless counterpart of a backtest.
    """
    starts = np.array([start for start, _ in market.history_bounds()])
    length = by_history(market, market.time.astype(np.float64)).shape[1]
    exposure = np.zeros((len(starts), len(market.symbols)))
    book = np.zeros((len(market.time), len(market.symbols)))
    for t in range(warmup, length):
        bar = starts + t
        exposure = np.asarray(policy(np.concatenate([bar[:, None].astype(np.float64), exposure], axis=1)))
        book[bar] = exposure
    return book


def book_of_result(result: BacktestResult, bars: int) -> Float:
    """Return `[T, K]` the exposures of a backtest by decision bar, zero where it did not act; `bars` is T."""
    book = np.zeros((bars, len(result.symbols)))
    book[result.bar[result.alive]] = result.exposure[result.alive]
    return book


def changes(market: Market, book: Float) -> Float:
    """Return `[T, K]` what a book trades; every history starts flat."""
    stacked = by_history(market, book)
    return np.diff(stacked, axis=1, prepend=0.0).reshape(book.shape)


def scored_bars(market: Market, warmup: int) -> Bool:
    """Return `[T]` the bars a book decides on and earns from: past the warm-up, with a next bar in the history."""
    inside = np.zeros(len(market.time), dtype=bool)
    for start, stop in market.history_bounds():
        inside[start + warmup : stop - 1] = True
    return inside


@dataclass(frozen=True)
class Moments:
    """Stand-alone books by group and regime: means over the bars of each regime (0 where a regime never occurred)."""

    edge: Float
    """[S, G] E[x_g' alpha | s]."""
    second: Float
    """[S, G, G] E[x_g' R x_h | s]."""
    trades: Float
    """[S, G] E[|dx_g|^2 | s]."""
    weight: Float
    """[S] share of bars."""
    volume: Float
    """[S, G] E[|dx_g|_1 | s]."""


def book_moments(truth: Truth, market: Market, book: Float, inside: Bool, warmup: int) -> Moments:
    """Estimate the moments of `book [T, K]` on the bars of `inside [T]`."""
    use = inside & scored_bars(market, warmup)
    group = np.eye(len(truth.groups))[list(truth.group_of)]
    held, traded = book[use], changes(market, book)[use]
    regime = np.eye(truth.posterior.shape[1])[truth.regime[use]]
    count = np.maximum(regime.sum(axis=0), 1.0)
    edge = (held * truth.alpha[use]) @ group
    by_group = np.einsum("tk,kg->tgk", held, group)
    second = np.einsum("tgi,ij,thj->tgh", by_group, truth.correlation, by_group, optimize=True)
    trades, volume = traded**2 @ group, np.abs(traded) @ group
    return Moments(
        (regime.T @ edge) / count[:, None],
        np.einsum("ts,tgh->sgh", regime, second) / count[:, None, None],
        (regime.T @ trades) / count[:, None],
        regime.mean(axis=0),
        (regime.T @ volume) / count[:, None],
    )
