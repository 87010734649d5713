"""What every setting means, from the Specs themselves: the manual behind `mtquant config`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from mtquant.config.agents import PipelineSpec
from mtquant.config.reader import KeyPath, spread
from mtquant.errors import ConfigError
from mtquant.registry import did_you_mean

_KINDS: dict[Any, str] = {
    float: "number",
    int: "whole number",
    str: "text",
    bool: "true or false",
    dict: "keys",
    date: "day as in 2019-01-31",
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


@dataclass(frozen=True)
class Setting:
    """One setting as the manual shows it."""

    key: str
    """Full key, as in `--set`."""
    kind: str
    """What may be written, bounds included."""
    default: Any
    """Value if nothing is stated, as JSON; None where it has to be stated."""
    meaning: str


def settings(key: str = "") -> tuple[Setting, ...]:
    """Return all settings, or those inside the block `key`, or the one named `key`.

    Raises `ConfigError` for an unknown key.
    """
    every = tuple(_walk(PipelineSpec, (), {}))
    inside = tuple(s for s in every if not key or s.key == key or s.key.startswith(f"{key}."))
    if not inside:
        blocks = {".".join(s.key.split(".")[:depth]) for s in every for depth in range(1, s.key.count(".") + 2)}
        raise ConfigError(f"There is no setting `{key}`.{did_you_mean(key, blocks)}")
    return inside


def differences(ours: BaseModel, theirs: BaseModel) -> tuple[tuple[str, Any, Any], ...]:
    """Return key and both values of every setting in which two specs differ, None where one has no such key."""
    a, b = spread(ours.model_dump(mode="json")), spread(theirs.model_dump(mode="json"))
    return tuple((".".join(path), a.get(path), b.get(path)) for path in {**a, **b} if a.get(path) != b.get(path))


def _walk(spec: type[BaseModel], path: KeyPath, stated: dict[str, Any]) -> Iterator[Setting]:
    """Yield the settings of `spec`; `stated` holds defaults that an outer Spec gives in place of its own."""
    for name, field in spec.model_fields.items():
        here = (*path, name)
        default = stated.get(name, None if field.is_required() else _default(field))
        inner = field.annotation
        if get_origin(inner) is dict and _is_spec(get_args(inner)[1]):
            here, inner, default = (*here, "<name>"), get_args(inner)[1], {}
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _walk(inner, here, default or {})
        else:
            yield Setting(".".join(here), _kind(field), default, " ".join((field.description or "").split()))


def _is_spec(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _default(field: FieldInfo) -> Any:
    return to_jsonable_python(field.get_default(call_default_factory=True))


def _kind(field: FieldInfo) -> str:
    bounds = [
        f"{word} {getattr(rule, attribute)}"
        for rule in field.metadata
        for attribute, word in _BOUNDS.items()
        if getattr(rule, attribute, None) is not None
    ]
    return ", ".join([_kind_of(field.annotation), *bounds])


def _kind_of(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(parts)
    if _is_spec(annotation):
        return f"blocks of {', '.join(annotation.model_fields)}"
    if origin is tuple:
        repeated = parts[-1] is Ellipsis
        return f"list of {_kind_of(parts[0])}" if repeated else f"list of {len(parts)}: {_kind_of(parts[0])}"
    if origin is UnionType:
        return " or ".join("nothing" if part is NoneType else _kind_of(part) for part in parts)
    return _KINDS[origin or annotation]
