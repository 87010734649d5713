"""What votes on a direction are worth on a planted market, noise left out, and what somebody who knows the edge earns.

For games whose agents vote SHORT, NEUTRAL or LONG on one instrument (strategic, tactical). Worth is a Sharpe ratio:
votes are not sizes, and who decides alone commits three times what an expert among three does. The reference votes with
the sign of the smoothed edge where it is larger than a band; band and smoothing that earn most are searched. It is no
proven optimum: trading costs make the best plan look further ahead.
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
STEPS = (0.0, 0.6)
"""How far the agents' bands lie apart, as a share of the band: apart, their mean follows the size of the edge."""


@dataclass(frozen=True)
class KnownEdge:
    """Votes of somebody who knows the expected return of the next bar."""

    market: Market
    truth: Truth
    band: float
    half_life: float = 0.0
    step: float = 0.0
    """The first agent's band is `1 - step` of `band`, the last one's `1 + step`."""
    _edge: Float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edge = np.array(self.truth.alpha)
        if self.half_life:
            for start, stop in self.market.history_bounds():
                edge[start:stop] = exponential_mean(edge[start:stop], self.half_life)
        object.__setattr__(self, "_edge", edge)

    def __call__(self, engine: GameEngine) -> Mapping[str, Float]:
        """Return every agent's vote."""
        state = engine.sim.state
        edge = self._edge[state.t, state.slots[:, 0]][:, None]
        agents = engine.game.agents
        bands = self.band * np.linspace(1.0 - self.step, 1.0 + self.step, len(agents))
        return {
            a: 1.0 + np.where(np.abs(edge) > band, np.sign(edge), 0.0) for a, band in zip(agents, bands, strict=True)
        }


def expected_sharpe(engine: GameEngine, words: Words, truth: Truth, bars: int) -> float:
    """Return the Sharpe ratio of one bar of playing `words`, noise left out: what is expected over the risk held.

    Expected is x alpha less what trades really cost; the risk is that of the exposures, both in u0; who holds nothing
    has 0. Rows whose episode ends begin another; with equal random numbers of the engine all words meet the same
    episodes as long as no account is ruined.
    """
    ratio = volatility_ratio(engine.game.dataset, truth)
    unit = engine.game.unit_risk
    profit = variance = 0.0
    engine.begin(stagger=False)
    for _ in range(bars):
        t, slot = engine.sim.state.t, engine.sim.state.slots[:, 0]
        outcome = engine.play(words(engine))
        result = outcome.result
        held = result.exposure[:, 0] * ratio[slot]
        profit += float((held * truth.alpha[t, slot] - result.cost[:, 0] / result.equity_before / unit).mean())
        variance += float((held**2).mean())
        if outcome.done.any():
            engine.restart(outcome.done)
    return profit / float(np.sqrt(bars * variance)) if variance else 0.0


def best_known(
    make: Callable[[], GameEngine],
    truth: Truth,
    bars: int,
    bands: Sequence[float] = BANDS,
    half_lives: Sequence[float] = HALF_LIVES,
    steps: Sequence[float] = STEPS,
) -> KnownEdge:
    """Return the reference whose settings earn most over `bars` bars of a fresh engine of `make`."""
    market = make().game.dataset.market
    tried = [
        KnownEdge(market, truth, band, half_life, step)
        for band, half_life, step in product(bands, half_lives, steps)
        if band or not step
    ]
    worth = [expected_sharpe(make(), words, truth, bars) for words in tried]
    return tried[int(np.argmax(worth))]
