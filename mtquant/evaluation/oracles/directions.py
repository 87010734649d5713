"""What votes on a direction are worth on a planted market, noise left out, and what somebody who knows the edge earns.

For games whose agents vote SHORT, NEUTRAL or LONG on one instrument (strategic, tactical). The reference votes with the
sign of the edge where it is larger than a band, unanimously; the band that earns most is searched. It is no proven
optimum, but no observation shows the edge itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.envs.engine import GameEngine
from mtquant.evaluation.oracles.noise_free import volatility_ratio
from mtquant.synthetic.planted import Truth
from mtquant.types import Float

Words = Callable[[GameEngine], Mapping[str, Float]]
BANDS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.12)
"""Edges, in volatilities of one bar, that the reference is tried with."""


@dataclass(frozen=True)
class KnownEdge:
    """Votes of somebody who knows the expected return of the next bar."""

    truth: Truth
    band: float

    def __call__(self, engine: GameEngine) -> Mapping[str, Float]:
        """Return the same vote for every agent."""
        state = engine.sim.state
        edge = self.truth.alpha[state.t, state.slots[:, 0]]
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


def best_known(make: Callable[[], GameEngine], truth: Truth, bars: int, bands: Sequence[float] = BANDS) -> KnownEdge:
    """Return the reference with the band that earns most over `bars` bars of a fresh engine of `make`."""
    worth = [expected_profit(make(), KnownEdge(truth, band), truth, bars).mean() for band in bands]
    return KnownEdge(truth, bands[int(np.argmax(worth))])
