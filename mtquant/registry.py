"""One idiom for every extension point: a dict literal of constructors and one `build`."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from mtquant.errors import ConfigError

T = TypeVar("T")


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest known name and lists all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(found, names, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"{hint} Known: {', '.join(f'`{name}`' for name in names)}."


def build(registry: Mapping[str, Callable[..., T]], choice: Mapping[str, Any], kind: str) -> T:
    """Construct the entry `choice["name"]` with the remaining keys as keyword arguments.

    Raises `ConfigError` for an unknown name or parameters the constructor refuses.
    """
    params = dict(choice)
    name = params.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise ConfigError(f"Unknown {kind} `{name}`.{did_you_mean(str(name), registry)}")
    try:
        return registry[name](**params)
    except TypeError as error:
        raise ConfigError(f"The {kind} `{name}` refused its parameters: {error}.") from error
