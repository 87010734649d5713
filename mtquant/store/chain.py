"""The hash chain over a learner's states: one link per update, so that a re-run can be compared update by update."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.digests import digest_arrays, digest_bytes, digest_json
from mtquant.store.files import guarded, write_durable
from mtquant.store.snapshot import Snapshot

CHAIN = "chain.json"
ORIGIN = "0" * 64
"""Head before the first update."""
_PART_DIGITS = 16


@dataclass(frozen=True)
class Link:
    """The learner's complete state after one update."""

    step: int
    head: str
    """sha256 over the head before, the step and the parts: equal heads mean equal histories from step 0 on."""
    parts: dict[str, str]
    """Tensor or value to the first 16 hex digits of its sha256; tells which one differs first."""


@dataclass(frozen=True)
class ChainSlice:
    """The links from one checkpoint (or from step 0) to the next; `chain.json` of the later one."""

    step: int
    """Where it begins; 0 is the start of training."""
    head: str
    links: tuple[Link, ...]

    @property
    def end(self) -> str:
        """Return the head behind the last link."""
        return self.links[-1].head if self.links else self.head

    def write(self, folder: Path) -> None:
        """Write `chain.json` into an existing folder, durably."""
        rows: list[dict[str, Any]] = []
        names: list[str] = []
        for link in self.links:
            row: dict[str, Any] = {"step": link.step, "head": link.head, "parts": list(link.parts.values())}
            if list(link.parts) != names:
                # They hardly ever change: an optimiser's moments appear with its first step.
                names = row["names"] = list(link.parts)
            rows.append(row)
        content = {"step": self.step, "head": self.head, "links": rows}
        write_durable(folder / CHAIN, json.dumps(content, separators=(",", ":")).encode())

    @staticmethod
    def read(folder: Path) -> "ChainSlice":
        """Return what `write` wrote. Raises `StoreError` where it is missing, unreadable or not a chain."""
        path = folder / CHAIN
        try:
            with guarded(path, "read", passing=(FileNotFoundError,)):
                found = json.loads(path.read_bytes())
            names: list[str] = []
            links = []
            for row in found["links"]:
                names = row.get("names", names)
                links.append(Link(int(row["step"]), str(row["head"]), dict(zip(names, row["parts"], strict=True))))
            chain = ChainSlice(int(found["step"]), str(found["head"]), tuple(links))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} is missing or cannot be read: {error}.") from error
        before = chain.head
        for link in chain.links:
            if _head(before, link.step, link.parts) != link.head:
                raise StoreError(f"{path} is no chain: the link of step {link.step} does not follow from those before.")
            before = link.head
        return chain


START = ChainSlice(0, ORIGIN, ())
"""No update yet."""


class Chain:
    """Collects the links of a running learner."""

    def __init__(self, step: int = 0, head: str = ORIGIN) -> None:
        self._begin(step, head)

    def _begin(self, step: int, head: str) -> None:
        self._step, self._start, self._links = step, head, list[Link]()

    @property
    def head(self) -> str:
        """Return the head over all updates so far."""
        return self._links[-1].head if self._links else self._start

    def add(self, step: int, snapshot: Snapshot) -> Link:
        """Append the state after an update."""
        parts = parts_of(snapshot)
        link = Link(step, _head(self.head, step, parts), parts)
        self._links.append(link)
        return link

    def slice(self) -> ChainSlice:
        """Return the links since the last `restart`."""
        return ChainSlice(self._step, self._start, tuple(self._links))

    def restart(self, step: int) -> None:
        """Begin a new slice at a checkpoint of `step`; the head goes on."""
        self._begin(step, self.head)


def parts_of(snapshot: Snapshot) -> dict[str, str]:
    """Return each array's and each top-level value's digest, in order of names."""
    parts = {name: digest_arrays({"": array}) for name, array in snapshot.arrays.items()}
    for name, value in snapshot.values.items():
        # Values may be NaN, which canonical JSON refuses.
        parts[f"values.{name}"] = digest_bytes(json.dumps(value, sort_keys=True).encode())
    return {name: parts[name][:_PART_DIGITS] for name in sorted(parts)}


def different_part(recorded: Link, found: Link) -> str | None:
    """Return the first tensor or value in which two states differ, else None.

    `earlier updates` where only the heads differ.
    """
    for name in sorted({*recorded.parts, *found.parts}):
        if recorded.parts.get(name) != found.parts.get(name):
            return name
    return None if recorded.head == found.head else "earlier updates"


def _head(before: str, step: int, parts: Mapping[str, str]) -> str:
    return digest_json([before, step, dict(parts)])
