"""Which curriculum of phase 3 helps, at equal steps: every kind, plain domain randomisation and none."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.markets import Setting, fresh_paths
from benchmarks.records import Cell, Figure, Section
from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.hierarchy import Hierarchy
from mtquant.agents.training.phase1_trainer import Phase1Trainer
from mtquant.agents.training.phase2_trainer import Phase2Trainer
from mtquant.agents.training.phase3_joint_training import Phase3JointTrainer
from mtquant.config.agents import PipelineSpec
from mtquant.config.curriculum import CurriculumSpec
from mtquant.context import Streams
from mtquant.envs.games.joint import META
from mtquant.evaluation.oracles.policies import joint
from mtquant.gates.shares import PathSet
from mtquant.store.units import Unit, UnitHandle, UnitSpec

NONE = "none"
CURRICULA: dict[str, CurriculumSpec] = {NONE: CurriculumSpec(enabled=False)} | {
    kind: CurriculumSpec(kind=kind) for kind in ("schedule", "levels", "adr", "plr", "uniform")
}
PATHS = 64
REDUCED = (
    "phase1.timesteps=100_000",
    "phase2.timesteps=20_000",
    "phase3.timesteps=150_000",
    # Several episodes end in every row: what learns from episodes that ended has something to learn from.
    "phase3.n_envs=64",
    "environment.episode_length=250",
)
MARKETS = {
    "gp-joint": (
        "data.source=gp-joint",
        "environment.instruments=[EURUSD, XAUUSD, SPX500]",
        "features.return_half_lives=[]",
        "features.return_lags=0",
        "features.indicators=[]",
    ),
    "embedded": ("data.planted.train_histories=24",),
}


class Trained(NamedTuple):
    """How a training ended."""

    utility: float
    """Noise-free, per bar."""
    level: int = -1
    """Last level before the real task; -1 without any."""
    step: int = 0
    """Steps after which new episodes were the real task."""


@contextmanager
def unit_named(name: str, folder: Path, seed: int) -> Iterator[UnitHandle]:
    """Yield the handle of a unit in a store below `folder`."""
    kind, subject = name.split("-", 1)
    unit = Unit(folder, UnitSpec(name, kind, subject, {"name": name, "seed": seed}))
    with unit.lock():
        yield UnitHandle(unit, Streams(seed), unit.begin_attempt(), 1e9)


def pretrained(setting: Setting, folder: Path) -> dict[str, Path]:
    """Train phases 1 and 2 below `folder` and return the bundles' folders by agent."""
    spec, folders = setting.spec, {}
    for group in spec.groups:
        with unit_named(f"phase1-{group}", folder, spec.seed) as handle:
            Phase1Trainer(spec, setting.dataset, lambda _, handle=handle: handle).train_specialist(group)
            folders[group] = handle.outputs / group
    with unit_named("phase2-meta", folder, spec.seed) as handle:
        Phase2Trainer(spec, setting.dataset, handle, dict(folders)).train()
        folders[META] = handle.outputs / META
    return folders


def hierarchy_of(name: str, spec: PipelineSpec, folders: Mapping[str, Path], phase: int) -> Hierarchy:
    """Return the agents of `folders` as phase 2 or 3 plays them."""
    acts = {agent: PolicyBundle.load(folder).act_fn() for agent, folder in folders.items()}
    return Hierarchy(name, acts, context=phase == 3 and spec.phase3.peers, joint=phase == 3)


def trained_under(name: str, setting: Setting, folders: Mapping[str, Path], folder: Path, paths: PathSet) -> Trained:
    """Train phase 3 under a curriculum."""
    phase3 = setting.spec.phase3.model_copy(update={"curriculum": CURRICULA[name]})
    spec = setting.spec.model_copy(update={"phase3": phase3})
    with unit_named(f"phase3-{name}", folder, spec.seed) as handle:
        trainer = Phase3JointTrainer(spec, setting.dataset, handle, dict(folders))
        trainer.train()
        outputs = {agent: handle.outputs / agent for agent in folders}
        score = paths.score(hierarchy_of(name, spec, outputs, 3))
    real = trainer.curriculum.real_level
    levels = [(line.step, int(line.metrics.get("curriculum/level", real))) for line in handle.unit.journal.read()]
    step, level = max(((step, level) for step, level in levels if level < real), default=(0, -1))
    return Trained(score.utility, level, step)


def compare(market: str, seeds: tuple[int, ...], settings: tuple[str, ...]) -> dict[str, list[Trained]]:
    """Return what phase 2, phase 3 under every curriculum and the joint optimum came to, by seed."""
    found: dict[str, list[Trained]] = {}
    for seed in seeds:
        setting = Setting.of(*MARKETS[market], *settings, seed=seed)
        paths = fresh_paths(setting, PATHS)
        with tempfile.TemporaryDirectory() as folder:
            folders = pretrained(setting, Path(folder))
            before = paths.score(hierarchy_of("phase 2", setting.spec, folders, 2))
            found.setdefault("phase 2", []).append(Trained(before.utility))
            for name in CURRICULA:
                found.setdefault(name, []).append(trained_under(name, setting, folders, Path(folder), paths))
                print(f"{market}, seed {seed}, {name}: {found[name][-1]}", flush=True)
        found.setdefault("joint optimum", []).append(Trained(paths.score(joint(paths.planted)).utility))
    return found


def measure_curriculum(
    markets: tuple[str, ...] = ("gp-joint",), seeds: tuple[int, ...] = (0, 1, 2), settings: tuple[str, ...] = REDUCED
) -> Section:
    """Return noise-free utilities of phase 3 under every curriculum, at equal steps from the same phase 2."""
    rows: list[tuple[Cell, ...]] = []
    figures: list[Figure] = []
    for market in markets:
        found = compare(market, seeds, settings)
        real = np.array([one.utility for one in found[NONE]])
        for name, results in found.items():
            utility = np.array([one.utility for one in results])
            gain = utility / real - 1.0
            spread = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float("nan")
            began = int(np.median([one.step for one in results]))
            level = ", ".join("-" if one.level < 0 else str(one.level) for one in results)
            cells = (float(utility.mean()), f"{gain.mean():+.1%}", f"{spread:.1%}", level, began)
            rows.append((f"{market}, {name}", *cells))
            described = {"market": market, "curriculum": name, "seeds": len(seeds), "settings": list(settings)}
            figures.append(Figure("curriculum", tuple(utility.tolist()), "utility per bar", None, described))
    note = (
        f"Expected utility per bar in u0 on {PATHS} fresh paths, mean over {len(seeds)} seeds; all kinds begin from "
        "the same phase 2, see as many bars, and are scored on the real task. Gain over `none`, with the standard "
        "error over seeds. Then each seed's last level before the real task, and the median step at which it ended."
    )
    head = ("phase 3 under", "utility", "over none", "error", "level", "until step")
    return Section("Curricula at equal steps", head, tuple(rows), tuple(figures), note)
