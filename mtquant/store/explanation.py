"""Why a unit is not the one before: what differs between the key inputs of two units, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

CLOCK, SPLITS, MACRO = "clock", "splits", "macro"
"""Entries of a key's `data` that are no instrument."""

_PARTS = ("config", "data", "code", "upstream")
"""Parts of a key in the order in which a person looks for the reason; others come first."""
_Path = tuple[str, ...]


def explain(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what differs between the key inputs of two units, one line per setting, what the user did first."""
    found = differences(before, after)
    lines = [_setting(path, old, new) for path, old, new in found if path[0] not in _PARTS[1:]]
    lines += _gone_and_come([entry for entry in found if entry[0][0] == "config"])
    data = [entry for entry in found if entry[0][0] == "data"]
    lines += [f"{path[1]} changed" for path, _, _ in data if path[1] in (CLOCK, SPLITS, MACRO)]
    lines += _named("data of {} changed", [entry for entry in data if entry[0][1] not in (CLOCK, SPLITS, MACRO)])
    code = [entry for entry in found if entry[0][0] == "code"]
    lines += _named("code of {} changed", [entry for entry in code if entry[0][1].startswith("mtquant")])
    lines += [f"{path[1]} {old} -> {new}" for path, old, new in code if not path[1].startswith("mtquant")]
    lines += _named(
        "upstream {} changes", [entry for entry in found if entry[0][0] == "upstream"], "upstream {} change"
    )
    return tuple(dict.fromkeys(line for line in lines if line))


_ABSENT = "(absent)"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[_Path, Any, Any]]:
    """Return path, old and new value of every difference; what one side lacks is one difference, whatever is in it."""
    found: list[tuple[_Path, Any, Any]] = []
    for name in {**before, **after}:
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [((name, *path), a, b) for path, a, b in differences(old, new)]
        elif _plain(old) != _plain(new):
            found.append(((name,), old, new))
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back: a list for a tuple."""
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _setting(path: _Path, old: Any, new: Any) -> str:
    """Return a changed setting; nothing for one that `_gone_and_come` tells."""
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        return ""
    name = ".".join(path[1:]) or path[0]
    if name == "order":
        # Of other instruments, the catalogue tells.
        return "order of the instruments changed" if sorted(old) == sorted(new) else ""
    return f"{name} {_shown(old)} -> {_shown(new)}"


def _gone_and_come(changes: Sequence[tuple[_Path, Any, Any]]) -> list[str]:
    """Return one line for all blocks that left the same parent, and one for all that came."""
    lines = []
    for word, here in (("without", 1), ("with", 2)):
        blocks = [entry[0] for entry in changes if isinstance(entry[here], Mapping) and entry[3 - here] == _ABSENT]
        for parent in dict.fromkeys(path[1:-1] for path in blocks):
            names = ", ".join(path[-1] for path in blocks if path[1:-1] == parent)
            lines.append(f"{'.'.join(parent) or 'settings'} {word} {names}")
    return lines


def _named(sentence: str, changes: Sequence[tuple[_Path, Any, Any]], of_several: str = "") -> list[str]:
    names = [".".join(path[1:]) for path, _, _ in changes]
    chosen = of_several or sentence if len(names) > 1 else sentence
    return [chosen.format(", ".join(names))] if names else []


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
