"""PPO as we train it against the same environment logic as ordinary Gymnasium environments, same settings."""

import time
from dataclasses import dataclass, field

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from benchmarks.markets import Setting, embedded
from benchmarks.records import Cell, Figure, Section
from mtquant.agents.learning.algorithms import build_ppo, persistence_of
from mtquant.config.agents import PPOSpec
from mtquant.context import Streams
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.gym_env import MarketGymEnv
from mtquant.envs.vec_env import VecMarketEnv

AIM = 2.0
"""Steps a second of our path over those of ordinary environments."""


class Clock(BaseCallback):
    """Times the rollouts and the updates between them."""

    def __init__(self) -> None:
        super().__init__()
        self.rollouts: list[float] = []
        self.updates: list[float] = []
        self._at = 0.0

    def _on_rollout_start(self) -> None:
        now = time.perf_counter()
        if self.rollouts:
            self.updates.append(now - self._at)
        self._at = now

    def _on_rollout_end(self) -> None:
        now = time.perf_counter()
        self.rollouts.append(now - self._at)
        self._at = now

    def _on_training_end(self) -> None:
        self.updates.append(time.perf_counter() - self._at)

    def _on_step(self) -> bool:
        return True


@dataclass(frozen=True)
class Speed:
    """Seconds of each iteration after the first, which warms up."""

    steps: int
    """Row-steps of one iteration."""
    rollouts: tuple[float, ...]
    updates: tuple[float, ...]
    rates: tuple[float, ...] = field(init=False)
    """Steps a second of each iteration."""

    def __post_init__(self) -> None:
        both = zip(self.rollouts, self.updates, strict=True)
        object.__setattr__(self, "rates", tuple(self.steps / (rollout + update) for rollout, update in both))


def specialist_rows(setting: Setting, ppo: PPOSpec) -> VecMarketEnv:
    """Return the rows of our path: one process, all rows in one array."""
    game, group = _game(setting)
    rng = Streams(setting.spec.seed).rng("benchmark", "rows")
    return VecMarketEnv(GameEngine(game, setting.dataset.splits.train, ppo.n_envs, rng), group)


def ordinary_rows(setting: Setting, ppo: PPOSpec) -> DummyVecEnv:
    """Return the same rules as one Gymnasium environment per row, in SB3's `DummyVecEnv`."""
    game, group = _game(setting)
    made: list[MarketGymEnv] = []

    def make() -> MarketGymEnv:
        env = MarketGymEnv(game, setting.dataset.splits.train, group)
        # One price table for all rows, as in our path: the comparison is of speed, not of memory.
        env.engine.sim.bars = made[0].engine.sim.bars if made else env.engine.sim.bars
        made.append(env)
        return env

    env = DummyVecEnv([make] * ppo.n_envs)
    env.seed(setting.spec.seed)
    return env


def learner(setting: Setting, env: VecEnv, ppo: PPOSpec, timesteps: int) -> PPO:
    """Return the learner of phase 1 over `env`; only ours can take the market's noise out of advantages."""
    game, _ = _game(setting)
    spec = setting.spec
    return build_ppo(
        env,  # type: ignore[arg-type]
        ppo,
        timesteps,
        normaliser=game.view.normaliser(setting.dataset),
        persistence=persistence_of(spec.environment),
        seed=spec.seed,
        device="cpu",
    )


def speed_of(setting: Setting, env: VecEnv, ppo: PPOSpec, iterations: int) -> Speed:
    """Train for `iterations` rollouts and updates after a first one, and return how long each took."""
    steps = ppo.n_envs * ppo.n_steps
    clock = Clock()
    learner(setting, env, ppo, 30 * steps).learn((iterations + 1) * steps, callback=clock)
    return Speed(steps, tuple(clock.rollouts[1:]), tuple(clock.updates[1:]))


def measure_training(iterations: int = 5, baseline_iterations: int = 2) -> Section:
    """Return steps a second of both paths with the default observation, rows and hyper-parameters of phase 1."""
    setting = embedded()
    shipped = setting.spec.phase1.ppo
    same = shipped.model_copy(update={"noise_baseline": False})
    wide = same.model_copy(update={"actor_hidden": (64, 64)})
    rows: list[tuple[Cell, ...]] = []
    figures = []
    for name, ppo in (("default", same), ("actor 64-64", wide)):
        ours = speed_of(setting, specialist_rows(setting, ppo), ppo, iterations)
        theirs = speed_of(setting, ordinary_rows(setting, ppo), ppo, baseline_iterations)
        described = {"rows": ppo.n_envs, "hyper-parameters": name}
        ours_figure = Figure("ppo", ours.rates, "steps/s", None, described | {"path": "mtquant"})
        theirs_figure = Figure("ppo", theirs.rates, "steps/s", None, described | {"path": "DummyVecEnv"})
        ratio = Figure("ppo-ratio", (ours_figure.value / theirs_figure.value,), "times", AIM, described)
        figures += [ours_figure, theirs_figure, ratio]
        rows.append(_row(f"mtquant, {name}", ours, ratio.value))
        rows.append(_row(f"DummyVecEnv, {name}", theirs, 1.0))
    quiet = speed_of(setting, specialist_rows(setting, shipped), shipped, iterations)
    figures.append(
        Figure("ppo", quiet.rates, "steps/s", None, {"path": "mtquant", "hyper-parameters": "default, noise baseline"})
    )
    rows.append(_row("mtquant, default with noise baseline", quiet, float("nan")))
    width = specialist_rows(setting, shipped).observation_space.shape
    note = (
        f"{shipped.n_envs} rows, observation of {width[0] if width else 0} numbers, batch {shipped.batch_size}, "
        f"{shipped.n_epochs} epochs, one thread, no Monitor wrapper. The noise baseline is ours alone and off in the "
        "pairs; it needs the price moves of all rows."
    )
    head = ("path", "steps/s", "rollout, s", "update, s", "ratio")
    return Section("PPO steps a second", head, tuple(rows), tuple(figures), note)


def _row(name: str, speed: Speed, ratio: float) -> tuple[Cell, ...]:
    middle = sorted(range(len(speed.rates)), key=lambda i: speed.rates[i])[len(speed.rates) // 2]
    return name, sorted(speed.rates)[len(speed.rates) // 2], speed.rollouts[middle], speed.updates[middle], ratio


def _game(setting: Setting) -> tuple[SpecialistGame, str]:
    group = setting.spec.groups[0]
    return SpecialistGame(setting.dataset, setting.spec, group), group
