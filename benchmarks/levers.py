"""What the update costs by batch, observation, layers, threads and compilation: the update dominates training."""

import time

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.markets import Setting, embedded
from benchmarks.records import Cell, Figure, Section
from benchmarks.training import learner, specialist_rows
from mtquant.config.agents import PPOSpec

NARROW = ("features.return_half_lives=[2.5, 24.0]", "features.return_lags=0", "features.indicators=[]")
"""An observation of the two signals that the embedded market hides."""
LAYERS = (64, 64)


def measure_levers(repeats: int = 3, *, compiled: bool = True) -> Section:
    """Return samples a second of the update alone (`PPO.train`) as one thing at a time changes."""
    wide, narrow = embedded(), embedded(*NARROW)
    default = wide.spec.phase1.ppo
    layers = default.model_copy(update={"actor_hidden": LAYERS})
    figures = [
        _figure(wide, default, "default", repeats),
        *(_figure(wide, _batch(default, size), f"batch {size}", repeats) for size in (256, 1024)),
        _figure(wide, layers, "actor 64-64", repeats),
        *(_figure(wide, _batch(layers, size), f"actor 64-64, batch {size}", repeats) for size in (256, 1024)),
        _figure(narrow, default, "narrow observation", repeats),
        _figure(narrow, layers, "narrow observation, actor 64-64", repeats),
        _figure(wide, default, "2 threads", repeats, threads=2),
        _figure(wide, layers, "actor 64-64, 2 threads", repeats, threads=2),
    ]
    note = "Samples a second through the epochs of one update; rollouts left out. One thread unless said otherwise."
    if compiled:
        try:
            figures.append(_figure(wide, layers, "actor 64-64, torch.compile", repeats, compile_it=True))
        # Without a C++ compiler torch cannot; which error that is depends on its version.
        except Exception as error:  # noqa: BLE001
            note += f" torch.compile: not available here ({type(error).__name__})."
    base = figures[0].value
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (f.setting["lever"], f.setting["width"], f.value, f.value / base) for f in figures
    )
    return Section("Levers of the update", ("lever", "width", "samples/s", "over default"), rows, tuple(figures), note)


def _batch(ppo: PPOSpec, size: int) -> PPOSpec:
    return ppo.model_copy(update={"batch_size": size})


def _figure(
    setting: Setting, ppo: PPOSpec, name: str, repeats: int, *, threads: int = 1, compile_it: bool = False
) -> Figure:
    env = specialist_rows(setting, ppo)
    model = learner(setting, env, ppo, 30 * ppo.n_envs * ppo.n_steps)
    _fill(model, env)
    if compile_it:
        model.policy.evaluate_actions = torch.compile(model.policy.evaluate_actions)  # type: ignore[method-assign]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        values = _updates(model, repeats)
    finally:
        torch.set_num_threads(before)
    assert env.observation_space.shape is not None
    described = {"lever": name, "width": int(env.observation_space.shape[0]), "threads": threads}
    return Figure("update", values, "samples/s", None, described)


def _fill(model: PPO, env: VecEnv) -> None:
    """Collect one rollout, as `learn` does before an update."""
    _, callback = model._setup_learn(model.n_steps * env.num_envs)
    model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)


def _updates(model: PPO, repeats: int) -> tuple[float, ...]:
    samples = model.n_steps * model.n_envs * model.n_epochs
    model.train()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        model.train()
        found.append(samples / (time.perf_counter() - started))
    return tuple(found)
