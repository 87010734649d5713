"""Settings of a run that trains teams, from a YAML file and the command line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtquant.config.marl import TrainingMode, UnifiedTrainingConfig
from mtquant.config.overrides import Override, read_overrides
from mtquant.config.problems import config_error
from mtquant.config.reader import KeyPath, Origin, read_layer


def resolve_teams(
    mode: TrainingMode, config: Path | None = None, overrides: Sequence[Override] = ()
) -> UnifiedTrainingConfig:
    """Return the settings in `config` and `overrides` over the defaults, for `mode`.

    Raises `ConfigError` that lists every problem with file, line and key.
    """
    tree: dict[str, Any] = UnifiedTrainingConfig().model_dump(mode="json")
    origins: dict[KeyPath, Origin] = {}
    for layer in (*([read_layer(config)] if config else []), read_overrides(overrides)):
        tree = _merged(tree, layer.tree)
        origins |= layer.origins
    try:
        # by way of JSON, because there a list is how a tuple is written and nothing else is converted
        return UnifiedTrainingConfig.model_validate_json(json.dumps(tree | {"training_mode": str(mode)}))
    except ValidationError as error:
        raise config_error(error, UnifiedTrainingConfig, origins, lambda _: ()) from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` changed by `above`, block by block; an empty block changes nothing."""
    found = dict(below)
    for key, value in above.items():
        inner = found.get(key)
        if isinstance(inner, Mapping) and value is None:
            continue
        found[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return found
