"""SB3's rollout buffer with the market's noise taken out of the advantages."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from mtquant.agents.learning.ppo import noise_variates, without_noise
from mtquant.envs.vec_env import VecMarketEnv


class QuietRolloutBuffer(RolloutBuffer):
    """Subtracts from the advantages what price moves explain of them (`noise_variates`); unbiased.

    `source` is the environment, which keeps the price moves of the rollout; `persistence` are the shares
    of a position that last from step to step. Returns, the critic's targets, stay as they are.
    """

    def __init__(self, *args: Any, source: VecMarketEnv, persistence: tuple[float, ...], **kwargs: Any) -> None:
        self.source = source
        self.persistence = persistence
        self.noise_removed = float("nan")
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Empty the buffer and forget the price moves."""
        self.source.forget_noise()
        super().reset()

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: np.ndarray) -> None:
        """Compute both as SB3 does, then clean the advantages."""
        super().compute_returns_and_advantage(last_values, dones)
        shock, state = self.source.recorded_noise()
        if len(shock) != self.buffer_size:
            return
        decays = [self.gamma * self.gae_lambda * share for share in self.persistence]
        variates = noise_variates(shock, state, self.episode_starts.astype(bool), np.asarray(dones, bool), decays)
        before = float(self.advantages.var())
        self.advantages = without_noise(self.advantages[..., None], variates)[..., 0]
        self.noise_removed = 1.0 - float(self.advantages.var()) / before if before > 0 else float("nan")
