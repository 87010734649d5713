"""What a trained hierarchy saw and decided on real bars: the material that exports are checked with."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.network import OUTPUTS, STATE
from mtquant.data.splits import NAMES, Split
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.joint import JointGame
from mtquant.errors import DataError
from mtquant.sim.simulator import Episode
from mtquant.types import Array

CHUNK_BARS = 64
"""Bars that each row plays from a flat account, so that few steps of many rows cover a split."""


class Recording(NamedTuple):
    """n bars of single rows, in the names of `HierarchyNetwork`: its inputs and what the game made of them."""

    inputs: dict[str, Array]
    """`<agent>_observation` [n, d] float32, `age` [n] int64, `budgets` [n, G], `appetite` [n] and `books` [n, K]."""
    outputs: dict[str, Array]
    """The fields of `HierarchyStep`, float64."""

    @property
    def bars(self) -> int:
        """Number of bars."""
        return len(self.inputs["age"])

    def observations(self, agent: str, per_row: int) -> Array:
        """Return `[n per_row, d]` what a bundle acts on: single instruments for specialists."""
        seen = self.inputs[f"{agent}_observation"]
        return seen.reshape(len(seen) * per_row, -1)


def record(game: JointGame, bundles: Mapping[str, PolicyBundle], wanted: int) -> Recording:
    """Let `bundles` play `game` and return `wanted` bars, or all there are if they are fewer.

    Bars are taken from the test split, then validation, then train, each at most once. Raises
    `DataError` where no split is longer than the warm-up.
    """
    parts: list[Recording] = []
    for name in reversed(NAMES):
        missing = wanted - sum(part.bars for part in parts)
        if missing <= 0:
            break
        try:
            parts.append(_record_split(game, game.dataset.splits[name], bundles, missing))
        except DataError:
            # too short for a single episode: the other splits have to do
            continue
    if not parts:
        raise DataError("No split is longer than the warm-up; there is nothing to check the export with.")
    return Recording(*(_joined(parts, place, wanted) for place in range(2)))


def _joined(parts: list[Recording], place: int, wanted: int) -> dict[str, Array]:
    named: list[dict[str, Array]] = [part[place] for part in parts]
    return {name: np.concatenate([part[name] for part in named])[:wanted] for name in named[0]}


def _record_split(game: JointGame, split: Split, bundles: Mapping[str, PolicyBundle], wanted: int) -> Recording:
    rng = np.random.Generator(np.random.PCG64(0))
    schedule = GameEngine(game, split, 1, rng).schedule
    chunks = np.array(
        [
            (start, min(start + CHUNK_BARS, last))
            for first, last in zip(schedule.first, schedule.last, strict=True)
            for start in range(first, last, CHUNK_BARS)
        ]
    )
    rows = min(-(-wanted // CHUNK_BARS), len(chunks))
    start, end = chunks[np.linspace(0, len(chunks) - 1, rows).round().astype(np.int64)].T
    engine = GameEngine(game, split, rows, rng)
    every = np.tile(np.arange(game.slots), (rows, 1))
    engine.begin_episode(Episode(start, end, every, np.ones(rows), np.ones(rows)))
    acts = {agent: bundles[agent].act_fn() for agent in game.agents}
    steps = []
    alive = np.ones(rows, dtype=bool)
    while alive.any():
        memory, at = engine.table.memory, engine.sim.state.t
        before: dict[str, Array] = {name: memory[name].copy() for name in STATE}
        targets = np.zeros((rows, game.slots))
        for agent in game.agents:
            seen = engine.observe(agent)
            before[f"{agent}_observation"] = np.asarray(seen, dtype=np.float32)
            engine.say(agent, acts[agent](seen))
            if agent in game.members:
                targets[:, game.members[agent]] = engine.table.said[agent]
        outcome = engine.advance()
        budgets, books = memory["budgets"].copy(), memory["books"].copy()
        decided = (budgets, memory["appetite"].copy(), targets, books, budgets[:, game.group_of] * books)
        after = dict(zip(OUTPUTS, decided, strict=True))
        steps.append(Recording(*({n: a[alive] for n, a in part.items()} for part in (before, after))))
        alive = alive & ~outcome.done
        # chunks that ended wait on their last bar for the longer ones
        engine.sim.state = engine.sim.state._replace(t=np.where(alive, engine.sim.state.t, at))
    return Recording(*(_joined(steps, place, wanted) for place in range(2)))
