"""Where the profit came from: exact Shapley values over everything that can be switched off.

Players are the skill of each specialist (else it stays flat), the allocation of the meta-controller (else all get the
same budget), the risk layer and the costs. Every subset of them trades the same bars; a player is worth what it adds on
average over all orders in which the players can join (Shapley, 1953). Values add up to the profit of the whole, for
every instrument and every part of the time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtquant.data.sessions import HOUR
from mtquant.evaluation.result import BacktestResult
from mtquant.types import Bool, Float, Int

ALLOCATION, RISK_LAYER, COSTS = "allocation", "risk layer", "costs"
YEAR, REGIME, SESSION = "year", "regime", "session"
SESSIONS = {"Asia": (21, 7), "Europe": (7, 13), "America": (13, 21)}
"""First hour inside, first hour after, UTC: every bar is in one."""


@dataclass(frozen=True)
class Attribution:
    """Net profit by player, as a share of the initial capital, mean over passes."""

    agent: str
    players: tuple[str, ...]
    total: float
    """Of the whole."""
    by_player: dict[str, float]
    by_instrument: dict[str, dict[str, float]]
    """Player to instrument to profit."""
    by_year: dict[str, dict[str, float]]
    by_regime: dict[str, dict[str, float]]
    by_session: dict[str, dict[str, float]]


def shapley(values: Float) -> Float:
    """Return `[P, ...]` each player's exact Shapley value of `values` [2^P, ...], whose index has bit p for player p.

    They add up to `values[-1] - values[0]`. Raises `ValueError` where the first axis is no power of two.
    """
    players = len(values).bit_length() - 1
    if len(values) != 1 << players:
        raise ValueError(f"{len(values)} coalitions are not all subsets of a number of players.")
    out = np.zeros((players, *values.shape[1:]))
    for coalition in range(len(values)):
        size = coalition.bit_count()
        for player in range(players):
            bit = 1 << player
            if not coalition & bit:
                weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
                out[player] += weight * (values[coalition | bit] - values[coalition])
    return out


@dataclass(frozen=True)
class Cells:
    """Parts of the time: every bar of a backtest belongs to one."""

    names: tuple[tuple[str, str, str], ...]
    """Year, regime and session of each cell."""
    of_bar: Int
    """[T] cell of each bar of the market, by the bar at whose close was decided; -1: never decided on."""

    def sums(self, result: BacktestResult) -> Float:
        """Return `[C, K]` the net profit of each instrument by cell, account currency."""
        symbols = result.gross.shape[2]
        out = np.zeros((1, len(self.names), symbols))
        net = (result.gross - result.cost).reshape(-1, symbols)
        self.add(out, np.zeros(len(net), dtype=np.int64), result.alive.ravel(), result.bar.ravel(), net)
        total: Float = out[0]
        return total

    def add(self, out: Float, run: Int, alive: Bool, bar: Int, net: Float) -> None:
        """Add the net profits `net` [N, K] earned at bars `bar` [N] by the runs `run` [N] to `out` [R, C, K]."""
        np.add.at(out, (run, np.where(alive, self.of_bar[bar], 0)), np.where(alive[:, None], net, 0.0))


def cells_of(result: BacktestResult, regime: Sequence[str], time: Int) -> Cells:
    """Return the cells of the bars that `result` decided on.

    `regime` [T] names what the market was like at each bar, `time` [T] are the opens of the market's bars. Year and
    session are those of the bar that was earned.
    """
    bars = np.unique(result.bar[result.alive])
    earned = time[bars + 1]
    years = earned.astype("datetime64[ns]").astype("datetime64[Y]").astype(str)
    hours = (earned // HOUR) % 24
    triples = [(str(y), regime[t], _session(int(h))) for y, t, h in zip(years, bars, hours, strict=True)]
    names = tuple(sorted(set(triples)))
    index = {name: number for number, name in enumerate(names)}
    of_bar = np.full(len(time), -1, dtype=np.int64)
    of_bar[bars] = [index[triple] for triple in triples]
    return Cells(names, of_bar)


def attribute(
    agent: str, players: Sequence[str], symbols: Sequence[str], cells: Cells, profits: Float, capital: float
) -> Attribution:
    """Return the attribution of `profits` [2^P, C, K] in account currency, summed over passes of `capital` together."""
    worth = shapley(profits / capital)

    def along(part: int) -> dict[str, dict[str, float]]:
        labels = sorted({name[part] for name in cells.names})
        masks = {label: np.array([name[part] == label for name in cells.names]) for label in labels}
        return {p: {k: float(worth[i][m].sum()) for k, m in masks.items()} for i, p in enumerate(players)}

    return Attribution(
        agent=agent,
        players=tuple(players),
        total=float((profits[-1] / capital).sum()),
        by_player={p: float(worth[i].sum()) for i, p in enumerate(players)},
        by_instrument={
            p: {s: float(worth[i][:, k].sum()) for k, s in enumerate(symbols)} for i, p in enumerate(players)
        },
        by_year=along(0),
        by_regime=along(1),
        by_session=along(2),
    )


def _session(hour: int) -> str:
    for name, (start, stop) in SESSIONS.items():
        if (start <= hour < stop) if start < stop else (hour >= start or hour < stop):
            return name
    raise AssertionError(f"no session has hour {hour}")
