"""What pydantic refuses, said so that a person can correct it: where, what was found, what is allowed."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mtquant.config.consistency import INCONSISTENT
from mtquant.config.documented import BLOCKS, documented_keys
from mtquant.config.reader import KeyPath, Origin
from mtquant.errors import ConfigError
from mtquant.registry import did_you_mean

Spelling = Callable[[KeyPath], Iterable[str]]
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "`true` or `false`",
    "tuple_type": "a list such as `[1, 2]`",
    "model_type": "a block of keys",
    "model_attributes_type": "a block of keys",
    "dict_type": "a block of keys",
    "finite_number": "a finite number",
}


def config_error(
    error: ValidationError,
    spec: type[BaseModel],
    origins: Mapping[KeyPath, Origin],
    spelling: Spelling = documented_keys,
) -> ConfigError:
    """Return one error that lists every problem once, each with the place and the spelling a person used.

    `spelling` names the keys that may stand in a block beside the fields of its Spec.
    """
    lines = [line for detail in error.errors() for line in _lines(detail, spec, origins, spelling)]
    problems = list(dict.fromkeys(lines))
    if len(problems) == 1:
        return ConfigError(problems[0])
    listed = "".join(f"\n  - {problem}" for problem in problems)
    return ConfigError(f"The configuration has {len(problems)} problems:{listed}")


def _lines(
    detail: ErrorDetails, spec: type[BaseModel], origins: Mapping[KeyPath, Origin], spelling: Spelling
) -> Iterable[str]:
    path = tuple(str(part) for part in detail["loc"])
    kind, found = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        # A block of the documents' spelling is left over when some of its keys are unknown.
        refused = [(*path, key) for key in found] if len(path) == 1 and path[0] in BLOCKS else [path]
        return [_unknown(each, spec, origins, spelling) for each in refused]
    if kind == INCONSISTENT:
        return [_inconsistent(path, detail["ctx"], origins)]
    if kind == "missing" and path[-1].isdigit():
        return [f"{_where(path[:-1], origins)}: a longer list is expected; it ends after {path[-1]} entries."]
    where = _where(path, origins)
    if kind == "missing":
        return [f"{where} is required and missing."]
    return [f"{where}: {_expectation(detail)}; {_shown(found)} was found."]


def _unknown(path: KeyPath, spec: type[BaseModel], origins: Mapping[KeyPath, Origin], spelling: Spelling) -> str:
    known = {*_fields(spec, path[:-1]), *spelling(path[:-1])}
    return f"{_where(path, origins)} is an unknown key.{did_you_mean(path[-1], known)}"


def _fields(spec: type[BaseModel], block: KeyPath) -> Iterable[str]:
    """Return the fields of the Spec that stands at `block`."""
    kind: Any = spec
    for part in block:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            named = kind.model_fields.get(part)
            kind = named.annotation if named else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else ()


def _where(path: KeyPath, origins: Mapping[KeyPath, Origin]) -> str:
    """Return place and key; an entry of a list is named by the list's key."""
    if path in origins:
        return str(origins[path])
    for cut in range(len(path) - 1, 0, -1):
        if path[:cut] in origins:
            nearest = origins[path[:cut]]
            return str(Origin(nearest.place, _joined((nearest.key, *path[cut:]))))
    return f"`{_joined(path)}`"


def _joined(path: KeyPath) -> str:
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(path))


def _inconsistent(path: KeyPath, context: Mapping[str, Any], origins: Mapping[KeyPath, Origin]) -> str:
    named = [(*path, *field.split(".")) for field in context["fields"]]
    stated = [str(origins[field]) for field in named if field in origins]
    others = [f"`{'.'.join(field)}`" for field in named if field not in origins]
    where = " and ".join(dict.fromkeys(stated)) or " and ".join(others)
    return f"{where}: {context['text']}"


def _expectation(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _EXPECTED:
        found = detail["input"]
        rewritten = f" (write `{int(found)}`)" if isinstance(found, float) and found.is_integer() else ""
        return f"{_EXPECTED[kind]} is expected{rewritten}"
    if kind == "too_long":
        return f"a list of {context['max_length']} entries is expected"
    if kind == "literal_error":
        expected = str(context.get("expected", ""))
        return _choice(str(detail["input"]), re.findall(r"'([^']*)'", expected) or [expected])
    return detail["msg"].replace("Input should", "the value should").removesuffix(".")


def _choice(found: str, known: list[str]) -> str:
    near = difflib.get_close_matches(found, known, n=1)
    hint = f" (did you mean `{near[0]}`?)" if near else ""
    return f"one of {', '.join(f'`{name}`' for name in known)} is expected{hint}"


def _shown(found: Any) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, dict):
        return "a block of keys"
    if isinstance(found, bool):
        return f"`{str(found).lower()}`"
    return f"the text `{found}`" if isinstance(found, str) else f"`{found}`"
