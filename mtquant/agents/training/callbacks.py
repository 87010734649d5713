"""The SB3 callback of phases 1 and 2: resume, journal, checkpoint, stop, at rollout boundaries only."""

from collections.abc import Mapping

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from mtquant.agents.learning.algorithms import capture_learner, finite, restore_learner
from mtquant.agents.training.model_checkpointing import ModelCheckpointingSystem
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.errors import TrainingError
from mtquant.store.units import UnitHandle

LEARNER_KEYS = {
    "train/approx_kl": "approx_kl",
    "train/clip_fraction": "clip_fraction",
    "train/explained_variance": "explained_variance",
    "train/entropy_loss": "entropy_loss",
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "value_loss",
    "train/std": "action_std",
    "train/learning_rate": "learning_rate",
}


class LastValues(KVWriter):
    """Keeps what SB3 logged last."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def write(self, key_values: dict[str, object], key_excluded: Mapping[str, tuple[str, ...]], step: int = 0) -> None:
        """Remember the numbers."""
        self.values = {k: float(v) for k, v in key_values.items() if isinstance(v, int | float | np.floating)}

    def close(self) -> None:
        """Nothing to release."""


class UnitCallback(BaseCallback):
    """Ties an SB3 learner to a unit.

    At the start of every rollout (after the previous update), and at the end, the learner is at a boundary of
    `ModelCheckpointingSystem`; before the first it is restored if there is a checkpoint.
    """

    def __init__(self, unit: UnitHandle) -> None:
        super().__init__()
        self.checkpointing = ModelCheckpointingSystem(unit)
        self.seen = LastValues()
        self._resumed_at = -1

    def _on_training_start(self) -> None:
        model = self._ppo()
        model.set_logger(Logger(folder=None, output_formats=[self.seen]))
        found = self.checkpointing.load_checkpoint()
        if found is not None:
            step, snapshot = found
            restore_learner(model, snapshot.arrays, snapshot.values)
            self._resumed_at = step

    def _on_rollout_start(self) -> None:
        model = self._ppo()
        if model.num_timesteps == 0 or model.num_timesteps == self._resumed_at:
            return
        self._boundary(model, last=False)

    def _on_training_end(self) -> None:
        model = self._ppo()
        if model.num_timesteps != self._resumed_at:
            self._boundary(model, last=True)

    def _on_step(self) -> bool:
        return True

    def _ppo(self) -> PPO:
        assert isinstance(self.model, PPO)
        return self.model

    def _boundary(self, model: PPO, *, last: bool) -> None:
        if not finite(model):
            raise TrainingError(
                f"Training diverged: a weight is not finite at step {model.num_timesteps}. "
                "Lower the learning rate; the last checkpoint is kept."
            )
        model.logger.dump(model.num_timesteps)
        metrics = {short: self.seen.values[key] for key, short in LEARNER_KEYS.items() if key in self.seen.values}
        episodes = [float(e["r"]) / max(float(e["l"]), 1.0) for e in model.ep_info_buffer or ()]
        if episodes:
            metrics["reward_per_step"] = float(np.mean(episodes))
        if isinstance(self.training_env, VecMarketEnv):
            metrics |= self.training_env.activity.take()
        self.checkpointing.boundary(model.num_timesteps, metrics, lambda: capture_learner(model), last=last)
