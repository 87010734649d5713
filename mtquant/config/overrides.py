"""Settings from the command line: `--set phase1.timesteps=20000`."""

from collections.abc import Sequence
from typing import Any

from mtquant.config.reader import KeyPath, Layer, Origin, parse_value
from mtquant.errors import ConfigError

Override = str | tuple[str, Any]
"""`key=value` as typed, or a key with a value that is not text to be parsed."""


def read_overrides(overrides: Sequence[Override]) -> Layer:
    """Return the overrides as one layer; text values are YAML.

    Raises `ConfigError` where one is not `key=value` or a key is given two values.
    """
    layer = Layer("`--set`", {})
    for override in overrides:
        key, value, origins = _split(override)
        path = tuple(key.split("."))
        if not all(path):
            raise ConfigError(f"`--set {override}`: `{key}` is no key. Write it as in `--set phase1.timesteps=20000`.")
        _place(layer, path, value)
        layer.origins[path] = Origin("`--set`", key)
        layer.origins.update({(*path, *inner): origin for inner, origin in origins.items()})
    return layer


def _split(override: Override) -> tuple[str, Any, dict[KeyPath, Origin]]:
    if isinstance(override, tuple):
        return override[0], override[1], {}
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals:
        raise ConfigError(f"`--set {override}` has no `=`. Write it as in `--set phase1.timesteps=20000`.")
    value, origins = parse_value(text, Origin("`--set`", key))
    return key, value, origins


def _place(layer: Layer, path: KeyPath, value: Any) -> None:
    block = layer.tree
    for depth, part in enumerate(path[:-1], start=1):
        inner = block.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"`--set {'.'.join(path)}` and `--set {'.'.join(path[:depth])}` exclude each other. Remove one of them."
            )
        block = inner
    if path[-1] in block and block[path[-1]] != value:
        raise ConfigError(
            f"`--set {'.'.join(path)}` is given twice, as `{block[path[-1]]}` and as `{value}`. Remove one of them."
        )
    block[path[-1]] = value
