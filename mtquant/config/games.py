"""Every block of the multi-agent games in one record, and its reading from a mapping or a YAML file.

Keys are checked: what is unknown, of the wrong kind or inconsistent is refused, all problems at once.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtquant.config.desk_games import ExecutionSpec, RiskManagementSpec
from mtquant.config.market_games import STRATEGIC_TEAM, TACTICAL_TEAM, StrategicSpec, TacticalSpec, TeamSpec
from mtquant.config.problems import config_error
from mtquant.config.reader import Layer, read_layer
from mtquant.config.spec import Spec
from mtquant.errors import ConfigError

Config = Mapping[str, Any] | Path | str | None
"""A mapping as the documents write it, a YAML file, or nothing: the defaults."""


class GamesSpec(Spec):
    """The configuration of the multi-agent games; an environment reads its own block and the debug switches."""

    strategic_marl: StrategicSpec = StrategicSpec()
    """Three experts on the direction of one instrument."""
    tactical_marl: TacticalSpec = TacticalSpec()
    """Three agents that speak in turn."""
    risk_management: RiskManagementSpec = RiskManagementSpec()
    """Four agents on the risk of one portfolio."""
    execution: ExecutionSpec = ExecutionSpec()
    """Five agents on one order after the other."""
    tactical: TeamSpec = TACTICAL_TEAM
    """The team on 5-minute bars."""
    strategic: TeamSpec = STRATEGIC_TEAM
    """The team on 30-minute bars."""
    debug: bool = False
    """Switches the three below on."""
    verbose_logging: bool = False
    """Log every bar (`logging`, level DEBUG)."""
    performance_monitoring: bool = False
    """Keep step times for `performance`."""
    state_validation: bool = False
    """Check observations, account and rewards after every bar."""


def read_games(config: Config = None) -> GamesSpec:
    """Return the settings in `config` over the defaults; raises `ConfigError` that lists every problem."""
    layer = read_layer(Path(config)) if isinstance(config, Path | str) else Layer("", dict(config or {}))
    tree = _merged(_defaults(), layer.tree)
    try:
        # by way of JSON, because there a list is how a tuple is written and nothing else is converted
        return GamesSpec.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise config_error(error, GamesSpec, layer.origins, lambda _: ()) from error
    except TypeError as error:
        raise ConfigError(f"The configuration holds a value that is no setting: {error}.") from error


def validate_config(config: Config = None) -> bool:
    """Return True where `config` is valid; raises `ConfigError` that lists every problem."""
    read_games(config)
    return True


def _defaults() -> dict[str, Any]:
    dumped: dict[str, Any] = GamesSpec().model_dump(mode="json")
    return dumped


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` changed by `above`, block by block; an empty block changes nothing."""
    found = dict(below)
    for key, value in above.items():
        inner = found.get(key)
        if isinstance(inner, dict) and value is None:
            continue
        nested = isinstance(inner, dict) and isinstance(value, Mapping)
        found[key] = _merged(inner, value) if nested and inner is not None else value
    return found
