"""What votes on a direction are worth on a planted market, noise left out, and what somebody who knows the edge earns.

For games whose agents vote SHORT, NEUTRAL or LONG on one instrument (strategic, tactical). The reference votes with the
sign of the smoothed edge where it is larger than a band, unanimously; band and smoothing that earn most are searched.
It is no proven optimum: trading costs make the best plan look further ahead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from mtquant.data.kernels import exponential_mean
from mtquant.data.market import Market
from mtquant.envs.engine import GameEngine
from mtquant.evaluation.oracles.noise_free import volatility_ratio
from mtquant.synthetic.planted import Truth
from mtquant.types import Float

Words = Callable[[GameEngine], Mapping[str, Float]]
BANDS = (0.0, 0.03, 0.06, 0.10, 0.15)
"""Edges, in volatilities of one bar, that the reference is tried with."""
HALF_LIVES = (0.0, 3.0, 8.0)
"""Half-lives of its smoothing, bars."""


@dataclass(frozen=True)
class KnownEdge:
    """Votes of somebody who knows the expected return of the next bar."""

    market: Market
    truth: Truth
    band: float
    half_life: float = 0.0
    _edge: Float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edge = np.array(self.truth.alpha)
        if self.half_life:
            for start, stop in self.market.history_bounds():
                edge[start:stop] = exponential_mean(edge[start:stop], self.half_life)
        object.__setattr__(self, "_edge", edge)

    def __call__(self, engine: GameEngine) -> Mapping[str, Float]:
        """Return the same vote for every agent."""
        state = engine.sim.state
        edge = self._edge[state.t, state.slots[:, 0]]
        vote = 1.0 + np.where(np.abs(edge) > self.band, np.sign(edge), 0.0)
        return dict.fromkeys(engine.game.agents, vote[:, None])


def expected_profit(engine: GameEngine, words: Words, truth: Truth, bars: int) -> Float:
    """Return `[N]` the mean profit per bar of playing `words`, in u0: x alpha less what trades really cost.

    Rows whose episode ends begin another; with equal random numbers of the engine all words meet the same episodes
    as long as no account is ruined.
    """
    ratio = volatility_ratio(engine.game.dataset, truth)
    unit = engine.game.unit_risk
    total = np.zeros(engine.rows)
    engine.begin(stagger=False)
    for _ in range(bars):
        t, slot = engine.sim.state.t, engine.sim.state.slots[:, 0]
        outcome = engine.play(words(engine))
        result = outcome.result
        expected = result.exposure[:, 0] * ratio[slot] * truth.alpha[t, slot]
        total += expected - result.cost[:, 0] / result.equity_before / unit
        if outcome.done.any():
            engine.restart(outcome.done)
    return total / bars


def best_known(
    make: Callable[[], GameEngine],
    truth: Truth,
    bars: int,
    bands: Sequence[float] = BANDS,
    half_lives: Sequence[float] = HALF_LIVES,
) -> KnownEdge:
    """Return the reference whose band and smoothing earn most over `bars` bars of a fresh engine of `make`."""
    market = make().game.dataset.market
    tried = [KnownEdge(market, truth, band, half_life) for band, half_life in product(bands, half_lives)]
    worth = [expected_profit(make(), words, truth, bars).mean() for words in tried]
    return tried[int(np.argmax(worth))]
