"""The only evaluation loop. One pass over each segment of a split, however short.

`play` is the loop, bar by bar, for those who need a few numbers of very many passes; `backtest` keeps everything.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mtquant.data.splits import Split
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.envs.games.joint import JointGame
from mtquant.envs.scenario import EpisodeSchedule, Scenario
from mtquant.evaluation.result import BacktestResult
from mtquant.sim.kernel import StepResult
from mtquant.sim.simulator import Episode
from mtquant.types import ActFn, Array, Bool, Int


def backtest(
    game: MarketGame,
    split: Split,
    acts: Mapping[str, ActFn],
    name: str,
    *,
    slots: Int | None = None,
    conditions: Sequence[Scenario] = (Scenario(),),
) -> BacktestResult:
    """Run `acts` (one per agent) over every segment of `split` in parallel and return what happened.

    `slots` [N, 1] gives the instrument of each pass for games of one instrument per row. With several `conditions`
    every segment is run under each of them: all passes of the first, then all of the second. Raises `DataError` when
    no segment is longer than the warm-up.
    """
    rows: list[dict[str, Array]] = []
    for alive, result, engine in play(game, split, acts, slots=slots, conditions=conditions):
        record = {
            "alive": alive,
            "t": result.t,
            "equity_before": result.equity_before,
            "equity": result.equity,
            "gross": result.gross,
            "cost": result.cost,
            "exposure": result.exposure,
            "trade": result.trade,
            "projection": result.projection,
            "breaker": result.breaker,
            "stops": result.stops,
            "value_at_risk": engine.sim.value_at_risk(result.exposure),
        }
        if isinstance(game, JointGame):
            record |= {n: np.array(engine.table.memory[n]) for n in ("books", "budgets", "appetite")}
        rows.append(record)
    return _result(game, name, rows)


class Played(NamedTuple):
    """One bar of all passes."""

    alive: Bool
    """[N] whether the pass still ran; what `result` says of the others must be ignored."""
    result: StepResult
    engine: GameEngine
    """After the bar."""


def play(
    game: MarketGame,
    split: Split,
    acts: Mapping[str, ActFn],
    *,
    slots: Int | None = None,
    conditions: Sequence[Scenario] = (Scenario(),),
) -> Iterator[Played]:
    """Yield the bars of what `backtest` with these arguments runs, keeping none of them."""
    engine = _engine(game, split, slots, conditions)
    alive = np.ones(engine.rows, dtype=bool)
    while alive.any():
        for agent in game.agents:
            engine.say(agent, acts[agent](engine.observe(agent)))
        before = engine.sim.state
        outcome = engine.advance()
        yield Played(alive, outcome.result, engine)
        alive = alive & ~outcome.done
        ended = outcome.done
        if alive.any() and ended.any():
            # finished passes wait on their last bar so that the others can go on
            engine.sim.state = engine.sim.state._replace(t=np.where(ended, before.t, engine.sim.state.t))


def _engine(game: MarketGame, split: Split, slots: Int | None, conditions: Sequence[Scenario]) -> GameEngine:
    """Return an engine with one row per segment and condition, at the start of its pass."""
    unused = np.random.Generator(np.random.PCG64(0))
    starts = np.array([start for start, _ in game.dataset.market.history_bounds()])
    schedule = EpisodeSchedule(split, starts, game.spec.environment, multiple=game.decision_bars)
    count, copies = len(schedule.first), len(conditions)
    engine = GameEngine(game, split, count * copies, unused)
    every = np.tile(np.arange(game.slots), (count, 1)) if slots is None else slots
    episode = Episode(
        np.tile(schedule.first, copies),
        np.tile(schedule.last, copies),
        np.tile(every, (copies, 1)),
        np.repeat([condition.cost_scale for condition in conditions], count),
        np.repeat([condition.volatility_scale for condition in conditions], count),
        np.repeat([condition.noise_level for condition in conditions], count),
    )
    engine.begin_episode(episode)
    return engine


def _result(game: MarketGame, name: str, rows: list[dict[str, Array]]) -> BacktestResult:
    stacked = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    alive = stacked["alive"]

    def living(key: str) -> Array:
        values = stacked[key]
        mask = alive.reshape(alive.shape + (1,) * (values.ndim - 2))
        return np.where(mask, values, np.zeros((), dtype=values.dtype))

    equity = np.concatenate([rows[0]["equity_before"][None], stacked["equity"]])
    for step in range(len(rows)):
        equity[step + 1] = np.where(alive[step], equity[step + 1], equity[step])
    market = game.dataset.market
    groups = game.spec.groups
    single = stacked["gross"].shape[2] == 1 and len(market.symbols) > 1
    symbols = ("instrument",) if single else market.symbols
    group_of = (0,) if single else tuple(groups.index(game.spec.catalogue.instruments[s].group) for s in symbols)
    bar = living("t")
    return BacktestResult(
        name=name,
        symbols=symbols,
        groups=groups,
        group_of=group_of,
        time=market.time[np.minimum(bar + 1, len(market.time) - 1)],
        bar=bar,
        alive=alive,
        equity=equity,
        gross=living("gross"),
        cost=living("cost"),
        exposure=living("exposure"),
        trade=living("trade"),
        value_at_risk=living("value_at_risk"),
        projection=living("projection"),
        breaker=living("breaker"),
        stops=living("stops"),
        bars_per_year=market.bars_per_year,
        books=living("books") if "books" in stacked else None,
        budgets=living("budgets") if "budgets" in stacked else None,
        appetite=living("appetite") if "appetite" in stacked else None,
    )
