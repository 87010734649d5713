"""From YAML files and overrides to a `PipelineSpec`.

Later wins: the Specs' defaults, `risk.yaml` and `instruments.yaml`, the profile, the configuration file,
`--set`. Files hold only what differs; mappings are merged key by key, lists are replaced.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mtquant.config.agents import PipelineSpec
from mtquant.config.documented import translate
from mtquant.config.overrides import Override, read_overrides
from mtquant.config.problems import config_error
from mtquant.config.reader import KeyPath, Layer, Origin, load_yaml, parse_layer, read_layer, reads_as_text
from mtquant.errors import ConfigError
from mtquant.registry import did_you_mean

__all__ = [
    "Resolved",
    "config_folder",
    "from_yaml",
    "load_pipeline",
    "load_yaml",
    "profiles",
    "resolve",
    "shipped_folder",
    "to_yaml",
]

DEFAULT_PROFILE = "default"
AGENTS_FILE = "agents.yaml"
_CHOICE = ("phase3", "aggregator")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """Settings together with where they are from."""

    spec: PipelineSpec
    origins: Mapping[KeyPath, Origin]
    """Origin of each stated key; the others are defaults."""
    files: tuple[Path, ...]
    """Files read, in the order in which later ones win."""
    notes: tuple[str, ...]
    """What a person should know although nothing is wrong."""


def load_pipeline(
    profile: str | None = None,
    config: Path | None = None,
    overrides: Sequence[Override] = (),
    folder: Path | None = None,
) -> PipelineSpec:
    """Return the settings of a run; see `resolve`. Notes go to the log."""
    resolved = resolve(profile, config, overrides, folder)
    for note in resolved.notes:
        _log.warning(note)
    return resolved.spec


def resolve(
    profile: str | None = None,
    config: Path | None = None,
    overrides: Sequence[Override] = (),
    folder: Path | None = None,
) -> Resolved:
    """Return the settings of a run and the origin of each.

    With neither `profile` nor `config`, `agents.yaml` of the configuration folder is the configuration file.
    `folder` defaults to `config_folder()`. Raises `ConfigError` that lists every problem with file, line and key.
    """
    folder = config_folder() if folder is None else folder
    if profile is None and config is None and (folder / AGENTS_FILE).is_file():
        config = folder / AGENTS_FILE
    chosen = _profile_file(folder, profile or DEFAULT_PROFILE)
    risk, instruments = _standard(folder, "risk.yaml"), _standard(folder, "instruments.yaml")
    differing = (chosen, config) if config else (chosen,)
    layers = [_read_limits(risk), _read_catalogue(instruments), *map(read_layer, differing), read_overrides(overrides)]
    tree: dict[str, Any] = _defaults()
    origins: dict[KeyPath, Origin] = {}
    for layer in map(translate, layers):
        tree = _merged(tree, layer.tree, ())
        origins |= layer.origins
    spec = _validated(tree, origins)
    return Resolved(spec, origins, (risk, instruments, *differing), tuple(_notes(spec, origins)))


def config_folder() -> Path:
    """Return `./config` where it has an `instruments.yaml`, else the folder that the package brings."""
    here = Path("config")
    return here if (here / "instruments.yaml").is_file() else shipped_folder()


def shipped_folder() -> Path:
    """Return the configuration folder that came with the installed package."""
    package = Path(__file__).parent
    # In a wheel the folder is `mtquant/config/shipped`; in a checkout it lies beside the package.
    wheel = package / "shipped"
    return wheel if wheel.is_dir() else package.parents[1] / "config"


def profiles(folder: Path | None = None) -> tuple[str, ...]:
    """Return the names of the profiles in `folder` and of those that the package brings."""
    places = (config_folder() if folder is None else folder, shipped_folder())
    return tuple(sorted({path.stem for place in places for path in (place / "profiles").glob("*.yaml")}))


def to_yaml(spec: PipelineSpec) -> str:
    """Return all settings as YAML; `from_yaml` gives the same settings back."""
    return yaml.dump(spec.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def from_yaml(text: str, name: str = "the configuration") -> PipelineSpec:
    """Return the settings in `text`, which has to be complete in itself (`to_yaml`)."""
    layer = translate(parse_layer(text, name))
    return _validated(layer.tree, layer.origins)


def _profile_file(folder: Path, name: str) -> Path:
    path = _standard(folder, f"profiles/{name}.yaml")
    if not path.is_file():
        raise ConfigError(f"There is no profile `{name}`.{did_you_mean(name, profiles(folder))}")
    return path


def _standard(folder: Path, name: str) -> Path:
    """Return a file of the configuration folder, or the shipped one where the folder has none."""
    return folder / name if (folder / name).is_file() else shipped_folder() / name


def _read_limits(path: Path) -> Layer:
    return _only(read_layer(path), "limits")


def _read_catalogue(path: Path) -> Layer:
    """Return the file's `instruments:` as `catalogue.instruments`."""
    found = _only(read_layer(path), "instruments")
    return Layer(
        found.name, {"catalogue": found.tree}, {("catalogue", *key): origin for key, origin in found.origins.items()}
    )


def _only(layer: Layer, block: str) -> Layer:
    for key in layer.tree:
        if key != block:
            raise ConfigError(f"{layer.origins[(key,)]} is an unknown key. This file has one block, `{block}:`.")
    return layer


def _defaults() -> dict[str, Any]:
    """Return every default, nested ones included: the learner of phase 2 has others than that of phase 1."""
    # Dumped from field defaults because a `PipelineSpec` does not exist without instruments.
    fields = PipelineSpec.model_fields
    dumped = {
        name: field.default.model_dump(mode="json") if hasattr(field.default, "model_dump") else field.default
        for name, field in fields.items()
        if not field.is_required()
    }
    return dumped | {"catalogue": {"instruments": {}}}


def _merged(below: dict[str, Any], above: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    """Return `below` changed by `above`; an empty block changes nothing."""
    found = dict(below)
    if path == ("data",) and above.get("source", below.get("source")) != below.get("source"):
        # Parameters belong to the market they were stated for.
        found["planted"] = {}
    for key, value in above.items():
        inner, here = found.get(key), (*path, key)
        if isinstance(inner, dict) and value is None:
            continue
        if isinstance(inner, dict) and isinstance(value, dict):
            other_choice = here == _CHOICE and value.get("name", inner.get("name")) != inner.get("name")
            found[key] = value if other_choice else _merged(inner, value, here)
        else:
            found[key] = value
    return found


def _validated(tree: Mapping[str, Any], origins: Mapping[KeyPath, Origin]) -> PipelineSpec:
    try:
        # By way of JSON, because there a list is how a tuple is written and nothing else is converted.
        return PipelineSpec.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise config_error(error, PipelineSpec, origins) from error


def _notes(spec: PipelineSpec, origins: Mapping[KeyPath, Origin]) -> list[str]:
    cost = origins.get(("environment", "transaction_cost"))
    if cost is None or spec.environment.costs == "flat":
        return []
    return [
        f"{cost} has no effect: costs are `{spec.environment.costs}`, and only `environment.costs: flat` charges "
        "a flat share of traded notional."
    ]


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our reader would not read as text."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if reads_as_text(value) else "'")


_Dumper.add_representer(str, _represent_text)
