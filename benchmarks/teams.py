"""Teams: the views of every documented environment, and a whole training beside SuperSuit and Stable-Baselines3."""

import time
from collections.abc import Callable
from functools import partial

from stable_baselines3 import PPO

from benchmarks.records import Cell, Figure, Section
from examples.supersuit_sb3 import CYCLES, rows
from mtquant.agents.learning.mappo import MAPPOLearner
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.training.team_rollouts import LocalRollouts, groups_in
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams
from mtquant.envs.conformance import ENVIRONMENTS, ROWS, measure
from mtquant.envs.games import tactical
from mtquant.envs.scenario import REAL_TASK

AIM = 30.0
"""Agent steps a second of a training on our rows over those of SuperSuit's."""
SETTINGS = {"n_steps": 64, "batch_size": 4096, "n_epochs": 4}
"""What both sides learn with; networks have two hidden layers of 64."""


def measure_teams(
    seconds: float = 2.0, copies: int = 128, iterations: int = 3, baseline_iterations: int = 1
) -> Section:
    """Return steps of single agents a second: by view, and of trainings with `copies` copies of an environment."""
    table: list[tuple[Cell, ...]] = []
    figures = []
    for name in ENVIRONMENTS:
        speed = measure(name, seconds)
        table.append((name, speed.aec, speed.parallel, speed.batched, speed.batched / speed.aec))
        for view in ("aec", "parallel", "batched"):
            described = {"environment": name, "view": view}
            figures.append(Figure("team-view", (getattr(speed, view),), "agent steps/s", None, described))
    ours, theirs = mappo_rates(copies, iterations), sb3_rates(copies, baseline_iterations)
    described = {"environment": "tactical", "copies": copies, **SETTINGS}
    pair = [
        Figure("team-training", rates, "agent steps/s", None, described | {"path": path})
        for path, rates in (("mtquant", ours), ("SuperSuit and SB3", theirs))
    ]
    ratio = pair[0].value / pair[1].value
    figures += [*pair, Figure("team-training-ratio", (ratio,), "times", AIM, described)]
    table.append(("tactical, training", pair[1].value, float("nan"), pair[0].value, ratio))
    note = (
        f"Agent steps a second, one thread; batches of {ROWS} rows. The last line is play and learning together, by "
        f"processor time: in the first column SB3's PPO over SuperSuit's rows, in the third MAPPO over ours, {copies} "
        "copies each."
    )
    head = ("environment", "AEC", "Parallel", "batched", "batched over AEC")
    return Section("Teams", head, tuple(table), tuple(figures), note)


def mappo_rates(copies: int, iterations: int) -> tuple[float, ...]:
    """Return agent steps a second of each iteration after a first one, which warms up."""
    config = TrainingConfig(env_factory=partial(tactical.parallel_env, max_cycles=CYCLES), n_envs=copies, **SETTINGS)
    seed_everything(0)
    rollouts = LocalRollouts(config, Streams(0))
    team = rollouts.shards[0].team
    learners = {group.name: MAPPOLearner(group, team, config) for group in groups_in(config, team)}
    policies = {name: learner.policy for name, learner in learners.items()}

    def iterate(index: int) -> None:
        played = rollouts.play(index, policies, [REAL_TASK] * copies)
        for name, learner in learners.items():
            learner.learn(played.samples[name], 1.0)

    return _rates(iterate, copies * config.n_steps * len(team.agents), iterations)


def sb3_rates(copies: int, iterations: int) -> tuple[float, ...]:
    """Return the same of SB3's PPO over SuperSuit's rows."""
    env = rows(copies, 0)
    model = PPO("MlpPolicy", env, device="cpu", **SETTINGS)
    steps = env.num_envs * SETTINGS["n_steps"]
    return _rates(lambda index: model.learn(steps, reset_num_timesteps=index == 0), steps, iterations)


def _rates(iterate: Callable[[int], object], steps: int, iterations: int) -> tuple[float, ...]:
    """Return steps a second of processor time, so that other work on the machine does not count."""
    iterate(0)
    found = []
    for index in range(1, iterations + 1):
        started = time.process_time()
        iterate(index)
        found.append(steps / (time.process_time() - started))
    return tuple(found)
