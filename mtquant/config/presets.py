"""How each documented environment is learned; chosen on a seed that no gate uses (`docs/marl.md` has the trials)."""

from collections.abc import Mapping
from typing import Any

from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig

MARKET: dict[str, Any] = {
    "learning_rate": 1e-3,
    "learning_rate_schedule": "linear",
    "batch_size": 2048,
    "n_epochs": 4,
    # exposure follows a decision within a few bars; what lies further ahead is noise
    "gamma": 0.9,
    "gae_lambda": 0.9,
    "ent_coef": 0.003,
}
PRESETS: Mapping[TrainingMode, Mapping[str, Any]] = {
    TrainingMode.STRATEGIC: MARKET,
    TrainingMode.TACTICAL: MARKET,
    # a bar's profit is a few hundredths of its noise: large rollouts, and more weight on what the critic says
    TrainingMode.RISK: MARKET
    | {"n_envs": 256, "batch_size": 16384, "learning_rate": 2e-3, "ent_coef": 0.002, "gae_lambda": 0.6},
    TrainingMode.EXECUTION: {
        # two orders a rollout, and many short rollouts: orders have no luck in them
        "n_envs": 32,
        "n_steps": 40,
        "batch_size": 1280,
        "n_epochs": 5,
        "learning_rate": 2e-3,
        "learning_rate_schedule": "linear",
        # an order is over after 20 steps, and the next one owes it nothing
        "gamma": 0.98,
        "gae_lambda": 0.9,
        # at the default a third of the draws lies outside of [-1, 1]
        "log_std_init": -1.5,
        "ent_coef": 0.0,
    },
}
"""Settings of `UnifiedTrainingConfig.training` by environment."""


def preset_for(mode: TrainingMode, training: TrainingConfig) -> dict[str, Any]:
    """Return the preset's settings that `training` leaves at their default; what is stated otherwise stands."""
    usual = UnifiedTrainingConfig().training
    return {
        name: value for name, value in PRESETS.get(mode, {}).items() if getattr(training, name) == getattr(usual, name)
    }
