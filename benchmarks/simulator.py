"""Raw speed of the simulator, and of the rows that a specialist trains on."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.markets import embedded
from benchmarks.records import Cell, Figure, Section
from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.sim.simulator import Episode, MarketSim

ROWS = (8, 64, 1024)
AIM = 1.5e6
"""Row-steps a second at 1024 rows and one slot, on one core."""
FIRST_BAR = 200


def measure_simulator(repeats: int = 7, seconds: float = 0.1) -> Section:
    """Return row-steps a second of `MarketSim.step`, and of a whole environment step with observation and reward."""
    setting = embedded()
    unlimited = setting.spec.model_copy(update={"limits": setting.spec.limits.model_copy(update={"enabled": False})})
    rows: list[tuple[Cell, ...]] = []
    figures = []
    for count in ROWS:
        cells: list[Cell] = [count]
        for slots in (1, len(setting.dataset.market.symbols)):
            for spec, limits in ((setting.spec, "on"), (unlimited, "off")):
                values = _repeated(_stepping(setting.dataset, spec, count, slots), count, repeats, seconds)
                aim = AIM if (count, slots) == (max(ROWS), 1) else None
                described = {"rows": count, "slots": slots, "limits": limits}
                figures.append(Figure("simulator", values, "row-steps/s", aim, described))
                cells.append(figures[-1].value)
        values = _repeated(_playing(setting.dataset, setting.spec, count), count, repeats, seconds)
        figures.append(Figure("environment", values, "row-steps/s", None, {"rows": count, "observation": "specialist"}))
        rows.append((*cells, figures[-1].value))
    head = ("rows", "1 slot, limits", "1 slot, no limits", "8 slots, limits", "8 slots, no limits", "environment")
    note = (
        "Row-steps a second, median of the repeats, one core. `environment` is one slot with limits plus the "
        "specialist's observation, payment and new episodes (`VecMarketEnv.step`)."
    )
    return Section("Simulator", head, tuple(rows), tuple(figures), note)


def _stepping(dataset: Dataset, spec: PipelineSpec, rows: int, slots: int) -> Callable[[int], None]:
    """Return a function that plays that many bars with exposures drawn beforehand."""
    sim = MarketSim(dataset, spec, rows=rows, slots=slots)
    rng = Streams(0).rng("benchmark", "exposures")
    wanted = rng.normal(0.0, 0.7, (64, rows, slots))
    instruments = len(dataset.market.symbols)
    held = rng.integers(0, instruments, (rows, 1)) if slots == 1 else np.tile(np.arange(instruments), (rows, 1))
    last = dataset.market.history_bounds()[0][1] - 1
    ones = np.ones(rows)
    episode = Episode(np.full(rows, FIRST_BAR), np.full(rows, last), held, ones, ones)
    everyone = np.ones(rows, dtype=bool)

    def play(bars: int) -> None:
        for bar in range(bars):
            if bar % (last - FIRST_BAR) == 0:
                sim.reset(everyone, episode)
            sim.step(wanted[bar % len(wanted)])

    return play


def _playing(dataset: Dataset, spec: PipelineSpec, rows: int) -> Callable[[int], None]:
    group = spec.groups[0]
    game = SpecialistGame(dataset, spec, group)
    env = VecMarketEnv(GameEngine(game, dataset.splits.train, rows, Streams(0).rng("benchmark", "episodes")), group)
    chosen = Streams(0).rng("benchmark", "actions").uniform(-1.0, 1.0, (64, rows, 1)).astype(np.float32)
    env.reset()

    def play(bars: int) -> None:
        for bar in range(bars):
            env.step(chosen[bar % len(chosen)])

    return play


def _repeated(play: Callable[[int], None], rows: int, repeats: int, seconds: float) -> tuple[float, ...]:
    """Return row-steps a second of `repeats` runs of about `seconds` each, after one that warms up."""
    bars = 10
    while True:
        started = time.perf_counter()
        play(bars)
        took = time.perf_counter() - started
        if took >= seconds / 4:
            break
        bars *= 2
    bars = max(1, int(bars * seconds / took))
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        play(bars)
        found.append(bars * rows / (time.perf_counter() - started))
    return tuple(found)
