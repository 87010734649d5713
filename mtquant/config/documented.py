"""The documents' spelling of settings (`training:`, `environment:`, `reward:`) in terms of the Specs' fields."""

from typing import Any

from mtquant.config.phases import RewardSpec
from mtquant.config.reader import KeyPath, Layer, Origin, spread
from mtquant.errors import ConfigError

TRAINING = {
    "learning_rate": ("phase1.ppo.learning_rate", "phase2.ppo.learning_rate", "phase3.specialist_learning_rate"),
    "batch_size": ("phase1.ppo.batch_size", "phase2.ppo.batch_size"),
    "n_epochs": ("phase1.ppo.n_epochs", "phase2.ppo.n_epochs", "phase3.n_epochs"),
    "gamma": ("phase1.ppo.gamma", "phase2.ppo.gamma", "phase3.gamma"),
    "gae_lambda": ("phase1.ppo.gae_lambda", "phase2.ppo.gae_lambda", "phase3.gae_lambda"),
    "clip_range": ("phase1.ppo.clip_range", "phase2.ppo.clip_range", "phase3.clip_range"),
    "n_envs": ("phase1.ppo.n_envs", "phase2.ppo.n_envs", "phase3.n_envs"),
    "phase_1_timesteps": ("phase1.timesteps",),
    "phase_2_timesteps": ("phase2.timesteps",),
    "phase_3_timesteps": ("phase3.timesteps",),
    "meta_update_freq": ("phase3.meta_update_freq",),
    "specialist_update_freq": ("phase3.specialist_update_freq",),
    "device": ("device",),
}
ENVIRONMENT = {
    "instrument": ("environment.instruments",),
    "max_position_size": ("limits.max_position_size",),
    "stop_loss_pct": ("limits.stop_loss_pct",),
    "max_portfolio_var": ("limits.max_portfolio_var",),
    "max_correlation_exposure": ("limits.max_correlation_exposure",),
    "max_sector_allocation": ("limits.max_sector_allocation",),
    "gradient_coordination": ("phase3.gradient_coordination",),
    "curriculum_learning": ("phase3.curriculum.enabled",),
}
REWARD = {
    name: (f"phase1.reward.{name}", f"phase2.reward.{name}", f"phase3.reward.{name}")
    for name in RewardSpec.model_fields
}
TABLE: dict[KeyPath, tuple[KeyPath, ...]] = {
    (block, name): tuple(tuple(target.split(".")) for target in targets)
    for block, entries in (("training", TRAINING), ("environment", ENVIRONMENT), ("reward", REWARD))
    for name, targets in entries.items()
}
"""Documented key to the fields it sets; keys of `environment` not listed are fields of the same name."""
BLOCKS = ("training", "reward")
"""Top-level blocks that exist in the documents' spelling only."""


def documented_keys(block: KeyPath) -> tuple[str, ...]:
    """Return the keys that the documents' spelling adds to a block; `()` stands for the top level."""
    return tuple(key[-1] for key in TABLE if key[:-1] == block) if block else BLOCKS


def translate(layer: Layer) -> Layer:
    """Return `layer` with every documented key replaced by the fields it sets; origins keep the spelling.

    Unknown keys inside documented blocks stay, to be refused with all others. Raises `ConfigError` where
    one field is given two values.
    """
    stated = spread(layer.tree)
    found = Layer(layer.name, {}, dict(layer.origins))
    for block in BLOCKS:
        value = stated.pop((block,), None)
        if value not in (None, {}):
            raise ConfigError(
                f"{layer.origins[(block,)]}: a block of keys is expected, `{value}` was found. "
                f"Known: {', '.join(f'`{key}`' for key in documented_keys((block,)))}."
            )
    for path, value in stated.items():
        if path not in TABLE and path[:2] not in TABLE:
            _put(found, path, value, layer.origins.get(path, Origin(layer.name, ".".join(path))))
    for path in dict.fromkeys(path[:2] for path in stated if path[:2] in TABLE):
        value = layer.tree[path[0]][path[1]]
        for target in TABLE[path]:
            told = [value] if path[-1] == "instrument" else value
            _put(found, target, told, layer.origins.get(path, Origin(layer.name, ".".join(path))))
    return found


def _put(layer: Layer, path: KeyPath, value: Any, origin: Origin) -> None:
    block = layer.tree
    for part in path[:-1]:
        inner = block.setdefault(part, {})
        if not isinstance(inner, dict):
            # Something that is no block was written where a block belongs; validation says so.
            return
        block = inner
    if path[-1] in block and block[path[-1]] != value:
        other = layer.origins[path]
        raise ConfigError(
            f"{origin} and {other} both set `{'.'.join(path)}`, to `{value}` and to `{block[path[-1]]}`. "
            "Remove one of them."
        )
    block[path[-1]] = value
    layer.origins.setdefault(path, origin)
