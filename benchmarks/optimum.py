"""Time until a learner earns 0.90 of the closed-form optimum on `gp-easy`, ours against an ordinary setup."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.markets import Setting, factor, fresh_paths
from benchmarks.records import Cell, Figure, Section
from benchmarks.training import learner, ordinary_rows, specialist_rows
from mtquant.agents.learning.algorithms import rollouts_of
from mtquant.agents.policy import Actor
from mtquant.config.agents import PPOSpec
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.oracles.noise_free import score_result, share, volatility_ratio
from mtquant.evaluation.oracles.policies import phase1

GOAL = 0.90
AIM = 5.0
PATHS = 32
DOCUMENTED = PPOSpec(
    n_envs=8,
    n_steps=2048,
    batch_size=256,
    n_epochs=10,
    learning_rate=3e-4,
    learning_rate_schedule="constant",
    gamma=0.99,
    gae_lambda=0.95,
    clip_range=0.2,
    log_std_init=0.0,
    weight_decay=0.0,
    actor_hidden=(64, 64),
    critic_hidden=(64, 64),
    noise_baseline=False,
)
"""The documents' hyper-parameters, which but for the batch are Stable-Baselines3's defaults."""


@dataclass(frozen=True)
class Race:
    """How one setup fared; times are processor seconds of learning on one thread, scoring left out."""

    seconds: float
    """Until the first of two scores in a row at the goal; infinite where that did not happen."""
    steps: int
    spent: float
    """Seconds of learning when it ended."""
    best: float
    """Best share seen."""


class Referee(BaseCallback):
    """Scores the policy about every `every` steps, off the clock, and ends the training at the goal or the cap.

    The clock is this process's: a race takes minutes, and other work on the machine must not decide it.
    """

    def __init__(self, score: Callable[[PPO], float], every: int, cap_seconds: float) -> None:
        super().__init__()
        self.score, self.every, self.cap = score, every, cap_seconds
        self.spent, self._at, self._due = 0.0, 0.0, every
        self.seen: list[tuple[float, int, float]] = []
        """(seconds, steps, share)"""

    @property
    def reached(self) -> bool:
        """Whether the last two scores are at the goal."""
        return len(self.seen) > 1 and min(self.seen[-1][2], self.seen[-2][2]) >= GOAL

    def _on_rollout_start(self) -> None:
        now = time.process_time()
        model = self.model
        assert isinstance(model, PPO)
        if model.num_timesteps:
            self.spent += now - self._at
        if model.num_timesteps >= self._due and not self.reached:
            self._due += self.every
            self.seen.append((self.spent, model.num_timesteps, self.score(model)))
        self._at = time.process_time()

    def _on_step(self) -> bool:
        # SB3 asks here whether to go on; a rollout cut short after the end counts for nothing.
        return not self.reached and self.spent + time.process_time() - self._at < self.cap

    def result(self) -> Race:
        """Return how it went."""
        best = max((one[2] for one in self.seen), default=math.nan)
        if self.reached:
            seconds, steps, _ = self.seen[-2]
            return Race(seconds, steps, self.spent, best)
        return Race(math.inf, self.model.num_timesteps, self.spent, best)


def measure_optimum(cap_seconds: float = 60.0, timesteps: int = 500_000, seed: int = 0) -> Section:
    """Return the time to 0.90 of the optimum of our default settings and of ordinary ones.

    Two more setups say what the difference is made of: our rows with the documents' hyper-parameters, and our
    hyper-parameters over ordinary environments. A setup that has not arrived after `cap_seconds` is stopped.
    """
    setting = factor(f"phase1.timesteps={timesteps}", seed=seed)
    scored = scorer(setting)
    shipped = setting.spec.phase1.ppo
    plain = shipped.model_copy(update={"noise_baseline": False})
    quick = shipped.model_copy(update={"n_steps": 16, "batch_size": 1024, "log_std_init": -1.0, "weight_decay": 0.0})
    setups: tuple[tuple[str, PPOSpec, Callable[[Setting, PPOSpec], VecEnv]], ...] = (
        ("mtquant, default settings", shipped, specialist_rows),
        ("mtquant, short rollouts and small batches", quick, specialist_rows),
        ("mtquant's rows, documents' hyper-parameters", DOCUMENTED, specialist_rows),
        ("DummyVecEnv, default settings but the noise baseline", plain, ordinary_rows),
        ("DummyVecEnv, documents' hyper-parameters", DOCUMENTED, ordinary_rows),
    )
    races = {}
    for name, ppo, rows in setups:
        referee = Referee(scored, max(16_384, ppo.n_envs * ppo.n_steps), cap_seconds)
        total = rollouts_of(timesteps, ppo) * ppo.n_envs * ppo.n_steps
        learner(setting, rows(setting, ppo), ppo, timesteps).learn(total, callback=referee)
        races[name] = referee.result()
    ours, theirs = races[setups[0][0]], races[setups[-1][0]]
    ratio = min(theirs.seconds, theirs.spent) / ours.seconds
    described = {"goal": GOAL, "seed": seed, "cap_seconds": cap_seconds}
    figures = tuple(
        Figure("time-to-optimum", (race.seconds,), "s", None, described | {"setup": name, "best_share": race.best})
        for name, race in races.items()
    )
    at_least = math.isinf(theirs.seconds)
    figures += (Figure("time-to-optimum-ratio", (ratio,), "times", AIM, described | {"lower_bound": at_least}),)
    return Section(
        "Time to 0.90 of the optimum on gp-easy",
        HEAD,
        tuple(map(_row, races, races.values())),
        figures,
        _note(ratio, at_least),
    )


HEAD = ("setup", "CPU seconds", "steps", "best share", "spent")


def scorer(setting: Setting, paths: int = PATHS) -> Callable[[PPO], float]:
    """Return a function that gives a learner's share of the optimum on fresh paths, without market noise."""
    fresh = fresh_paths(setting, paths)
    group = setting.spec.groups[0]
    game = SpecialistGame(fresh.dataset, setting.spec, group)
    truth, ratio = fresh.planted.truth, volatility_ratio(fresh.dataset, fresh.planted.truth)
    slots = np.zeros((paths, 1), dtype=np.int64)
    reference = backtest(
        PortfolioGame(fresh.dataset, setting.spec), fresh.split, {AGENT: phase1(fresh.planted)}, "optimum"
    )
    optimum = score_result(reference, truth, ratio)

    def score(model: PPO) -> float:
        model.policy.set_training_mode(False)
        result = backtest(game, fresh.split, {group: Actor(model.policy).act}, "learner", slots=slots)
        return share(score_result(result, truth, ratio, slots), optimum).value

    return score


def _row(name: str, race: Race) -> tuple[Cell, ...]:
    return name, race.seconds if math.isfinite(race.seconds) else "not reached", race.steps, race.best, race.spent


def _note(ratio: float, at_least: bool) -> str:
    words = "more than " if at_least else ""
    return (
        f"Default settings against ordinary environments with the documents' hyper-parameters: {words}{ratio:.1f} "
        "times as fast. Same market, observation, payment and optimum; scored about every 16 384 steps on "
        f"{PATHS} fresh paths, off the clock; processor time until the first of two scores in a row at the goal. "
        "One seed."
    )
