"""An adversary that knows the next bar tries to get past the risk layer, on markets made to crash.

Every row is a path of its own: jumps, gaps, whipsaws and calm, with moves up to ten times what volatilities say. The
adversary asks for the largest exposures there are, on the side that is about to lose, on one side only, alternating,
at random, or doubling after every loss. Before the fact no limit may be exceeded; after it, moves that no volatility
announced lose more than the value at risk, and the breakers stop the rest of the day.
"""

from dataclasses import dataclass, replace

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits
from mtquant.sim.kernel import StepResult
from mtquant.sim.limits import Limits, correlation_exposure, times, value_at_risk
from mtquant.sim.simulator import Episode, MarketSim
from mtquant.types import Bool, Float, Int

ROUNDING = 1e-9
DEVIATION = 0.004
"""Standard deviation of a calm bar, share of the price, which is what the volatilities say."""
GREED = 50.0
HOUR = 3_600_000_000_000
BARS = 60
SHAPES = 500
"""Different price histories; a row plays one of them, scaled."""
LARGEST_SCALE = 10.0
KINDS = ("against the next bar", "one side", "alternating", "random", "doubling after a loss")
AGAINST, ONE_SIDE, ALTERNATING, RANDOM, DOUBLING = range(5)
RIGHT = 5
"""Not an attack: exposure 0.5 on the side that is about to win."""


@dataclass(frozen=True)
class Siege:
    """What 60 hours of attacks came to."""

    paths: int
    decisions: int
    breaches: int
    """Decisions after which a limit was exceeded before the fact."""
    wrong_levels: int
    """Decisions at which the active circuit breakers were not those that the day's loss asks for."""
    tripped: int
    """Days of accounts on which a breaker tripped."""
    kept_with: float
    """Median final equity, share of the initial capital."""
    kept_without: float
    worst_day_with: float
    """Largest loss of any account in a day, share of the day's first equity."""
    worst_day_without: float
    ruined_with: int
    ruined_without: int
    growth_with: float
    """Mean growth per bar of a modest portfolio that is always right: what protection costs."""
    growth_without: float


def obeyed(x: Float, limits: Limits) -> Bool:
    """Return `[B]` whether exposures `x` [B, K] obey the limits on position, sector, correlation and value at risk."""
    size = np.abs(x)
    slack = 1.0 + ROUNDING
    out: Bool = (
        (size <= limits.position_cap * slack).all(axis=1)
        & (times(size, limits.membership) <= limits.sector_cap * slack).all(axis=1)
        & (correlation_exposure(x, limits, np) <= limits.max_correlation_exposure * slack)
        & (value_at_risk(x, limits, np) <= limits.max_value_at_risk * slack)
    )
    return out


def besiege(spec: PipelineSpec, rng: np.random.Generator, *, paths: int) -> Siege:
    """Return what the adversary reached on `paths` paths, with the risk layer of `spec` and without it."""
    dataset = crash_dataset(spec, rng)
    bare = spec.model_copy(update={"limits": spec.limits.model_copy(update={"enabled": False})})
    slots = len(dataset.market.symbols)
    attack = Attack(
        shape=rng.integers(SHAPES, size=paths),
        scale=rng.uniform(1.0, LARGEST_SCALE, paths),
        kind=rng.integers(len(KINDS), size=paths),
        side=rng.choice((-1.0, 1.0), size=(paths, slots)),
        seed=int(rng.integers(2**63)),
    )
    modest = replace(attack, kind=np.full(paths, RIGHT))
    guarded, free = (_Battle(dataset, s, attack).fight() for s in (spec, bare))
    careful, careless = (_Battle(dataset, s, modest).fight() for s in (spec, bare))
    return Siege(
        paths=paths,
        decisions=guarded.decisions,
        breaches=guarded.breaches,
        wrong_levels=guarded.wrong_levels,
        tripped=guarded.tripped,
        kept_with=guarded.kept(),
        kept_without=free.kept(),
        worst_day_with=guarded.worst_day,
        worst_day_without=free.worst_day,
        ruined_with=guarded.ruined(),
        ruined_without=free.ruined(),
        growth_with=careful.growth(),
        growth_without=careless.growth(),
    )


@dataclass(frozen=True)
class Attack:
    """One entry per path."""

    shape: Int
    scale: Float
    kind: Int
    side: Float
    """[N, K]"""
    seed: int

    def wish(self, step: int, coming: Float, lost: Bool) -> Float:
        """Return `[N, K]` exposures; `coming` [N, K] are the moves of the next bar, `lost` [N] who lost in the last."""
        noise = np.random.default_rng((self.seed, step)).standard_normal(coming.shape)
        doubled = np.where(lost, GREED, 0.5)[:, None] * self.side
        wishes = np.stack(
            [
                -GREED * np.sign(coming),
                GREED * self.side,
                GREED * self.side * (-1.0) ** step,
                GREED * noise,
                doubled,
                0.5 * np.sign(coming),
            ]
        )
        out: Float = wishes[self.kind, np.arange(len(self.kind))]
        return out


class _Battle:
    """One pass of all paths, with everything that is counted."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec, attack: Attack) -> None:
        rows, slots = attack.side.shape
        self.sim = MarketSim(dataset, spec, rows=rows, slots=slots)
        self.attack = attack
        start = attack.shape * (BARS + 1)
        every = np.tile(np.arange(slots), (rows, 1))
        self.sim.reset(np.ones(rows, dtype=bool), Episode(start, start + BARS, every, np.ones(rows), attack.scale))
        self.close = np.asarray(dataset.market.close)
        self.decisions = self.breaches = self.wrong_levels = self.tripped = 0
        self.worst_day = 0.0
        self.level = np.zeros(rows, dtype=np.int64)
        self.day = np.asarray(self.sim.state.equity).copy()

    def fight(self) -> "_Battle":
        """Play all bars."""
        lost = np.zeros(len(self.level), dtype=bool)
        for step in range(BARS):
            state = self.sim.state
            t = np.asarray(state.t)
            before = np.asarray(state.equity)
            fresh = np.asarray(self.sim.bars.new_day)[t + 1]
            self._follow_day(before, fresh)
            result = self.sim.step(self.attack.wish(step, self.close[t + 1] - self.close[t], lost))
            self._count(result, ~np.asarray(state.ruined))
            lost = np.asarray(result.equity) < before
        return self

    def _follow_day(self, equity: Float, fresh: Bool) -> None:
        """Say again, from the definition, which breakers are active."""
        self.day = np.where(fresh, equity, self.day)
        self.level = np.where(fresh, 0, self.level)
        loss = 1.0 - equity / self.day
        reached = sum((loss >= at).astype(np.int64) for at in self.sim.limits.breaker_losses)
        self.tripped += int(((self.level == 0) & (reached > 0)).sum())
        self.level = np.maximum(self.level, reached)

    def _count(self, result: StepResult, living: Bool) -> None:
        held = np.asarray(result.exposure)[living]
        self.worst_day = max(self.worst_day, float(np.max(1.0 - np.asarray(result.equity)[living] / self.day[living])))
        limits = self.sim.limits
        if not limits.enabled:
            return
        self.decisions += len(held)
        shut = self.level[living] >= len(limits.breaker_scales)
        self.breaches += int((~obeyed(held, limits) | (shut & held.any(axis=1))).sum())
        self.wrong_levels += int((np.asarray(result.breaker)[living] != self.level[living]).sum())

    def kept(self) -> float:
        """Return the median final equity as a share of the initial capital."""
        return float(np.median(np.asarray(self.sim.state.equity))) / self.sim.rules.initial_capital

    def growth(self) -> float:
        """Return the mean logarithmic growth per bar; an account that was closed counts with what it had left."""
        equity = np.maximum(np.asarray(self.sim.state.equity) / self.sim.rules.initial_capital, 1e-12)
        return float(np.mean(np.log(equity))) / BARS

    def ruined(self) -> int:
        """Return how many accounts were closed."""
        return int(np.asarray(self.sim.state.ruined).sum())


def crash_dataset(spec: PipelineSpec, rng: np.random.Generator) -> Dataset:
    """Return 500 histories of 60 hours of the traded instruments: calm, crashes, whipsaws, gaps at any hour."""
    symbols = spec.environment.instruments
    slots, length = len(symbols), BARS + 1
    noise = rng.standard_normal((SHAPES, length, slots))
    common = rng.standard_normal((SHAPES, length, 1))
    moves = np.sqrt(0.5) * (noise + common)
    crash = rng.integers(1, length, size=SHAPES)
    size = rng.uniform(5.0, 30.0, SHAPES) * rng.choice((-1.0, 1.0), SHAPES)
    jump = np.zeros((SHAPES, length, 1))
    jump[np.arange(SHAPES), crash, 0] = size * (rng.random(SHAPES) < 0.5)
    whip = np.where(rng.random(SHAPES) < 0.25, 4.0, 0.0)[:, None, None] * (-1.0) ** np.arange(length)[None, :, None]
    gap = np.where(rng.random((SHAPES, length, 1)) < 0.05, 5.0, 0.0) * rng.choice((-1.0, 1.0), (SHAPES, length, 1))
    opening = 0.5 * jump + gap
    scale = 100.0 * DEVIATION
    close = 100.0 + scale * np.cumsum(moves + whip + 0.5 * jump + opening, axis=1)
    start = np.concatenate([np.full((SHAPES, 1, slots), 100.0), close[:, :-1]], axis=1) + scale * opening
    ohlcv = np.stack([start, np.maximum(start, close), np.minimum(start, close), close, np.ones_like(close)], axis=-1)
    bars = SHAPES * length
    market = Market(
        symbols,
        np.arange(bars, dtype=np.int64) * HOUR,
        ohlcv.reshape(bars, slots, 5),
        np.ones((bars, slots), dtype=bool),
        np.repeat(np.arange(SHAPES), length),
        "H1",
        260.0 * 24,
    )
    every = Split("test", tuple(market.history_bounds()))
    return Dataset(
        market,
        Splits(Split("train", ()), Split("validation", ()), every),
        np.zeros((bars, slots, 1), dtype=np.float32),
        ("none",),
        (0,),
        np.zeros(1),
        np.ones(1),
        np.full((bars, slots), scale),
        np.full((slots, slots), 0.5) + 0.5 * np.eye(slots),
        np.zeros((bars, 5), dtype=np.float32),
        tuple("abcde"),
        False,
    )
