"""Stable-Baselines3 learners by name, built one way for phases 1 and 2, with their complete state."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy

from mtquant.agents.learning.noise import QuietRolloutBuffer
from mtquant.agents.learning.state import (
    Parts,
    capture_module,
    capture_optimizer,
    capture_rng,
    restore_module,
    restore_optimizer,
    restore_rng,
)
from mtquant.agents.policy import policy_arguments
from mtquant.config.agents import EnvironmentSpec, PPOSpec
from mtquant.envs.batch_env import BatchEnv
from mtquant.envs.spaces import Normaliser
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.types import Array


def rollouts_of(timesteps: int, spec: PPOSpec) -> int:
    """Return the number of whole rollouts that cover `timesteps`."""
    return math.ceil(timesteps / (spec.n_envs * spec.n_steps))


def persistence_of(spec: EnvironmentSpec) -> tuple[float, ...]:
    """Return the shares of a position that last a bar: a slow signal's, a fast one's, an untouched target's."""
    return 1.0, 0.5 ** (1.0 / 6.0), 1.0 - spec.adjustment_rate


def build_ppo(
    env: BatchEnv,
    spec: PPOSpec,
    timesteps: int,
    *,
    normaliser: Normaliser,
    persistence: tuple[float, ...] = (),
    seed: int,
    device: str,
) -> PPO:
    """Return SB3's PPO over `env`.

    The step size is a function of absolute progress, so that a resumed run has the same one. `linear`
    falls by one rollout's share per rollout and is still positive in the last. `spec.noise_baseline` counts for
    market games alone; `persistence` are the shares of a position that last from step to step.
    """
    last = 1.0 / rollouts_of(timesteps, spec)

    def linear(remaining: float) -> float:
        return spec.learning_rate * min(1.0, max(0.0, remaining) + last)

    quiet: dict[str, Any] = {}
    if spec.noise_baseline and isinstance(env, VecMarketEnv):
        env.record_noise = True
        quiet = {
            "rollout_buffer_class": QuietRolloutBuffer,
            "rollout_buffer_kwargs": {"source": env, "persistence": persistence},
        }
    model = PPO(
        ActorCriticPolicy,
        env,
        learning_rate=linear if spec.learning_rate_schedule == "linear" else spec.learning_rate,
        n_steps=spec.n_steps,
        batch_size=min(spec.batch_size, spec.n_envs * spec.n_steps),
        n_epochs=spec.n_epochs,
        gamma=spec.gamma,
        gae_lambda=spec.gae_lambda,
        clip_range=spec.clip_range,
        ent_coef=spec.ent_coef,
        vf_coef=spec.vf_coef,
        max_grad_norm=spec.max_grad_norm,
        policy_kwargs=policy_arguments(
            normaliser,
            actor_hidden=spec.actor_hidden,
            critic_hidden=spec.critic_hidden,
            log_std_init=spec.log_std_init,
            weight_decay=spec.weight_decay,
        ),
        seed=seed,
        device=device,
        verbose=0,
        **quiet,
    )
    # Without one, SB3 makes a folder in the temporary directory for every learner.
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


ALGORITHMS = {"ppo": build_ppo}


def capture_learner(model: PPO) -> Parts:
    """Return the complete state of an SB3 learner at a rollout boundary, its environment included."""
    env = model.env
    assert isinstance(env, BatchEnv)
    arrays, values = env.state_dict()
    optimizer_arrays, optimizer_values = capture_optimizer("optimizer", model.policy.optimizer)
    rng_arrays, rng_values = capture_rng()
    arrays = {f"env.{name}": array for name, array in arrays.items()}
    arrays |= capture_module("policy", model.policy) | optimizer_arrays | rng_arrays
    arrays["last_obs"] = np.asarray(model._last_obs)
    arrays["last_episode_starts"] = np.asarray(model._last_episode_starts)
    counters = {
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "episode_num": model._episode_num,
        "progress": float(model._current_progress_remaining),
        "episodes": [[float(e["r"]), int(e["l"])] for e in model.ep_info_buffer or ()],
    }
    return arrays, {"env": values, "counters": counters} | optimizer_values | rng_values


def restore_learner(model: PPO, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
    """Continue a learner from `capture_learner`; call inside `learn`, before its first rollout."""
    env = model.env
    assert isinstance(env, BatchEnv)
    env.load_state_dict(
        {name.removeprefix("env."): a for name, a in arrays.items() if name.startswith("env.")}, values["env"]
    )
    restore_module("policy", model.policy, arrays)
    restore_optimizer("optimizer", model.policy.optimizer, arrays, values)
    counters = values["counters"]
    model.num_timesteps = counters["num_timesteps"]
    model._n_updates = counters["n_updates"]
    model._episode_num = counters["episode_num"]
    model._current_progress_remaining = counters["progress"]
    assert model.ep_info_buffer is not None
    model.ep_info_buffer.clear()
    model.ep_info_buffer.extend({"r": r, "l": length, "t": 0.0} for r, length in counters["episodes"])
    model._last_obs = np.array(arrays["last_obs"])
    model._last_episode_starts = np.array(arrays["last_episode_starts"])
    restore_rng(arrays, values)


def finite(model: PPO) -> bool:
    """Return whether every weight is finite."""
    return all(bool(torch.isfinite(p).all()) for p in model.policy.parameters())
