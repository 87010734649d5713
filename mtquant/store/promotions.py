"""Which policy is `challenger` and which is `champion`: the append-only record that the model registry mirrors.

`<store>/promotions.jsonl`, one JSON object per line with a digest of itself; lines are never changed. A rollback is a
line of its own.
"""

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.digests import digest_json
from mtquant.store.files import guarded, make_folder, sync_folder
from mtquant.store.locks import waited_for

PROMOTIONS, LOCK = "promotions.jsonl", "promotions.lock"
CHALLENGER, CHAMPION = "challenger", "champion"
ALIASES = (CHALLENGER, CHAMPION)
REGISTERED, MET, FORCED, ROLLBACK = "registered", "met", "forced", "rollback"
"""Verdicts: after training; through the gate; past the gate with a reason; back to the one before."""


DEPLOYED = "deployed_phase"
"""Metric of an evaluation: the last phase that beat those before it out of sample; 1 is equal budgets."""


def stage_of(metrics: Mapping[str, float]) -> str | None:
    """Return `phase1`, `phase2` or `phase3`, which an evaluation's metrics say deploys; None where they do not say."""
    return {1.0: "phase1", 2.0: "phase2", 3.0: "phase3"}.get(metrics.get(DEPLOYED, 0.0))


@dataclass(frozen=True)
class Policy:
    """What an alias stands for: one exported hierarchy and the evaluation that speaks for it."""

    run_id: str
    stage: str
    """`phase1`, `phase2` or `phase3`: the last phase that earned its place."""
    export: str
    """Key of the unit that exported it."""
    evaluation: str
    """Key of the unit that evaluated it."""
    outputs: dict[str, str]
    """Exported file to the sha256 of its content."""

    @property
    def digest(self) -> str:
        """Return the sha256 over what deploys, whichever run it came from."""
        return digest_json({"stage": self.stage, "outputs": self.outputs})


@dataclass(frozen=True)
class Assignment:
    """One movement of an alias."""

    number: int
    when: str
    alias: str
    """`challenger` or `champion`."""
    policy: Policy
    verdict: str
    """`registered`, `met`, `forced` or `rollback`."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What the gate measured, by the name of the comparison."""
    reason: str = ""
    """Why, in the words of the person."""
    by: str = ""
    """User and host."""
    rollback_of: int | None = None
    """Number of the assignment that this one takes back."""


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """Hold the record while deciding on a movement and appending it; waits for others."""
    make_folder(root)
    with waited_for(root / LOCK):
        yield


def append_assignment(
    root: Path,
    alias: str,
    policy: Policy,
    verdict: str,
    *,
    figures: Mapping[str, Any] | None = None,
    reason: str = "",
    rollback_of: int | None = None,
) -> Assignment:
    """Add one line durably and return it; the caller holds `changing`. Raises `StoreError`."""
    content, found = _read(root)
    number = found[-1].number + 1 if found else 1
    when = datetime.now(UTC).isoformat(timespec="seconds")
    made = Assignment(number, when, alias, policy, verdict, dict(figures or {}), reason, _who(), rollback_of)
    values = asdict(made)
    line = json.dumps(values | {"sha256": digest_json(values)}, allow_nan=False) + "\n"
    path = root / PROMOTIONS
    with guarded(path, "append to"), path.open("ab") as file:
        # What a crash tore is no line: nobody was told of it.
        file.truncate(len(content))
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(root)
    return made


def read_assignments(root: Path) -> list[Assignment]:
    """Return all movements, oldest first; a last line that a crash tore is not there. Raises `StoreError`."""
    return _read(root)[1]


def standing(assignments: Sequence[Assignment], alias: str) -> list[Assignment]:
    """Return the movements of an alias that were not taken back, oldest first; the last one is in force."""
    found: list[Assignment] = []
    for entry in assignments:
        if entry.alias == alias and entry.rollback_of is None:
            found.append(entry)
        elif entry.alias == alias:
            found = [other for other in found if other.number != entry.rollback_of]
    return found


def holder_of_alias(assignments: Sequence[Assignment], alias: str) -> Assignment | None:
    """Return the movement that an alias stands on now, or None."""
    found = standing(assignments, alias)
    return found[-1] if found else None


def _read(root: Path) -> tuple[bytes, list[Assignment]]:
    """Return the whole lines as bytes and as assignments."""
    path = root / PROMOTIONS
    try:
        with guarded(path, "read", passing=(FileNotFoundError,)):
            content = path.read_bytes()
    except FileNotFoundError:
        return b"", []
    content = content[: content.rfind(b"\n") + 1]
    return content, [_parsed(path, number, line) for number, line in enumerate(content.splitlines(), start=1)]


def _parsed(path: Path, number: int, line: bytes) -> Assignment:
    try:
        found: dict[str, Any] = json.loads(line)
        digest = found.pop("sha256")
        if digest == digest_json(found) and found["number"] == number:
            return Assignment(**(found | {"policy": Policy(**found["policy"])}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(_damaged(path, number)) from error
    raise StoreError(_damaged(path, number))


def _damaged(path: Path, number: int) -> str:
    return (
        f"Line {number} of {path} is damaged: it does not fit its own digest. No alias is moved on the word of such a "
        "record. Restore the file from a backup, or move it away to begin a new one."
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container may run under a number without a name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
