"""Strict YAML: numbers are numbers, keys are unique, and every value remembers where it was written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtquant.errors import ConfigError

KeyPath = tuple[str, ...]
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "null", "int", "float", "seq", "map")}
_EXPONENT_WITHOUT_POINT = re.compile(r"([-+]?)(\d[\d_]*|\d*\.\d+|\d+\.\d*)[eE]([-+]?)(\d+)")


@dataclass(frozen=True)
class Origin:
    """Where a value was written: the place as a person finds it, and the key as spelled there."""

    place: str
    key: str

    def __str__(self) -> str:
        return f"{self.place}, `{self.key}`"


@dataclass(frozen=True)
class Layer:
    """Settings from one place, as nested mappings with text keys."""

    name: str
    tree: dict[str, Any]
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    """Origin of every key, inner and outer."""


class _Scalars(yaml.SafeLoader):
    """Plain scalars by the YAML 1.2 core schema, so `off`, `1:30` and `2020-01-01` stay text.

    Infinities and NaN are no values of a setting and stay text as well, to be refused by the field.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the base's type


_Scalars.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:" + "|".join(_TRUE + _FALSE) + ")$"), list("tTfF")
)
_Scalars.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Scalars.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][\d_]*)$"), list("-+0123456789"))
_Scalars.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d[\d_]*\.\d*|\.\d+)(?:[eE][-+]\d+)?$"), list("-+.0123456789")
)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises `ConfigError` that names file, line and key."""
    return read_layer(path).tree


def read_layer(path: Path) -> Layer:
    """Return the mapping in a YAML file together with the origin of each key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"The configuration file `{path}` cannot be read: {reason}.") from error
    return parse_layer(text, f"`{path}`")


def parse_layer(text: str, name: str) -> Layer:
    """Return the mapping in `text`; `name` says in messages where it is from."""
    loader = _Scalars(text)
    try:
        node = loader.get_single_node()
        layer = Layer(name, {})
        if node is None or _is_null(node):
            return layer
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{name} has to be keys with values (`key: value`); {_kind(node)} was found.")
        layer.tree.update(_Walk(loader, layer).mapping(node, ()))
        return layer
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not valid YAML: {_yaml_reason(error)}.") from error
    finally:
        loader.dispose()


def parse_value(text: str, origin: Origin) -> tuple[Any, dict[KeyPath, Origin]]:
    """Return the value that `text` has in YAML (`1`, `true`, `[a, b]`, ...) and the origins of keys in it."""
    loader = _Scalars(text)
    layer = Layer(origin.place, {})
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        value = _Walk(loader, layer).value(node, (), origin)
        return value, layer.origins
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: `{text}` is not valid YAML: {_yaml_reason(error)}.") from error
    finally:
        loader.dispose()


def reads_as_text(value: str) -> bool:
    """Return whether `value`, written without quotes, is read as the same text."""
    loader = _Scalars("")
    try:
        tag = loader.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    finally:
        loader.dispose()
    return tag == "tag:yaml.org,2002:str" and not _EXPONENT_WITHOUT_POINT.fullmatch(value)


class _Walk:
    """Turns YAML nodes into values, refusing what people write by mistake."""

    def __init__(self, loader: _Scalars, layer: Layer) -> None:
        self.loader, self.layer = loader, layer
        self.open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: KeyPath, origin: Origin) -> Any:
        if any(node is outer for outer in self.open):
            raise ConfigError(f"{origin} contains itself.")
        if node.tag not in _TAGS:
            raise ConfigError(f"{origin}: the tag `{node.tag}` is not supported here. Remove it.")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, origin)
        self.open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [
                    self.value(child, (*path, str(i)), Origin(origin.place, f"{origin.key}[{i}]"))
                    for i, child in enumerate(node.value)
                ]
            return self.mapping(node, path, origin.key)
        finally:
            self.open.pop()

    def mapping(self, node: yaml.Node, path: KeyPath, prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            place = f"{self.layer.name} line {key_node.start_mark.line + 1}"
            key = key_node.value
            if not isinstance(key, str):
                raise ConfigError(f"{place}: a key has to be plain text; {_kind(key_node)} was found.")
            spelled = f"{prefix}.{key}" if prefix else key
            if key in found:
                raise ConfigError(
                    f"{place}, `{spelled}`: the key stands twice (first in line {first[key]}). Remove one of the two."
                )
            origin = Origin(place, spelled)
            first[key] = key_node.start_mark.line + 1
            self.layer.origins[(*path, key)] = origin
            found[key] = self.value(value_node, (*path, key), origin)
        return found

    def scalar(self, node: yaml.ScalarNode, origin: Origin) -> Any:
        text = node.value
        if node.tag == "tag:yaml.org,2002:str":
            match = _EXPONENT_WITHOUT_POINT.fullmatch(text) if node.style is None else None
            if match:
                sign, digits, direction, power = match.groups()
                number = digits if "." in digits else f"{digits}.0"
                raise ConfigError(
                    f"{origin}: YAML reads `{text}` as text, not as a number. "
                    f"Write `{sign}{number}e{direction or '+'}{power}`, or the number without an exponent."
                )
            return text
        try:
            return self.loader.construct_object(node)
        except ValueError as error:
            raise ConfigError(f"{origin}: `{text}` is not a value of the kind its tag says.") from error


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"`{node.value}`" if isinstance(node, yaml.ScalarNode) else "a block of keys"


def _yaml_reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return str(error)


def spread(tree: Mapping[str, Any], path: KeyPath = ()) -> dict[KeyPath, Any]:
    """Return every value of nested mappings by its key path; an empty mapping is a value."""
    found: dict[KeyPath, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= spread(value, (*path, key))
        else:
            found[(*path, key)] = value
    return found
