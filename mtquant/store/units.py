"""Units: one resumable piece of work each, its folder in the store, and what running work may do with it."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtquant.context import Streams
from mtquant.errors import LockedError, StoreError
from mtquant.store.chain import Chain, Link
from mtquant.store.checkpoints import Checkpoints
from mtquant.store.digests import digest_file, digest_json
from mtquant.store.files import guarded, make_folder, quarantine, remove_tree, write_atomic, write_new
from mtquant.store.journal import Journal, from_json_number, to_json_number
from mtquant.store.locks import Holder, holder_of, locked
from mtquant.store.snapshot import Snapshot

DONE, SPEC, UNITS = "DONE.json", "spec.json", "units"
LOGGER = logging.getLogger("mtquant.unit")


@dataclass(frozen=True)
class UnitSpec:
    """Pure description of a unit."""

    name: str
    """Unique inside a run: `phase1-forex`."""
    kind: str
    """`dataset`, `phase1`, `phase2`, `phase3`, `evaluate` or `export`."""
    subject: str
    """`market`, `forex`, `meta`, `joint`, `joint-no-peers`, `report`, `onnx`."""
    inputs: dict[str, Any]
    """Everything that decides the result: schema, kind, subject, config, code, data, upstream, seed."""
    upstream: tuple[str, ...] = ()
    """Names of the units whose outputs it reads."""
    total_steps: int = 1
    """Steps the journal counts up to."""

    @property
    def key(self) -> str:
        """Return the sha256 of the canonical JSON of `inputs`."""
        return digest_json(self.inputs)

    @property
    def folder_name(self) -> str:
        """Return `<kind>-<subject>-<first 12 of key>`."""
        return f"{self.kind}-{self.subject}-{self.key[:12]}"


@dataclass(frozen=True)
class UnitResult:
    """What work hands back when it is complete."""

    metrics: dict[str, float]
    outputs: dict[str, str]
    """Deterministic artifact name to the sha256 of its content."""


@dataclass(frozen=True)
class Done:
    """The content of `DONE.json`: the unit is complete."""

    unit_key: str
    attempts: int
    metrics: dict[str, float]
    outputs: dict[str, str]
    files: dict[str, dict[str, Any]]
    """Path below `outputs/` to sha256 and size, for `verify`."""
    consumed: dict[str, dict[str, str]]
    """Upstream unit to the outputs that were read."""
    finished: str
    wall_seconds: float
    """Time of the attempt that finished; earlier attempts not counted."""


class Unit:
    """A unit's folder in the store: spec, lock, attempts, checkpoints, journal, outputs and the DONE marker."""

    def __init__(self, root: Path, spec: UnitSpec) -> None:
        self.root = root
        self.spec = spec
        self.folder = root / UNITS / spec.folder_name
        self.outputs = self.folder / "outputs"
        self.quarantine_folder = self.folder / "quarantine"
        self.journal = Journal(self.folder / "metrics.jsonl")
        self.checkpoints = Checkpoints(self.folder / "checkpoints", self.quarantine_folder, self.journal)

    def create(self) -> None:
        """Make the folder and write `spec.json` once. Raises `StoreError` where another key owns the folder."""
        make_folder(self.folder)
        content = json.dumps(asdict(self.spec) | {"key": self.spec.key}, indent=1, sort_keys=True)
        if not write_new(self.folder / SPEC, content.encode()) and read_spec(self.folder).key != self.spec.key:
            raise StoreError(f"{self.folder} belongs to another unit with the same short key; move it away.")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the unit. Raises `LockedError` that names the holder."""
        self.create()
        with locked(self.folder / "lock", f"The unit {self.spec.name}"):
            yield

    def holder(self) -> Holder | None:
        """Return which process holds the unit now, or None."""
        return holder_of(self.folder / "lock")

    def attempts(self) -> int:
        """Return how many attempts were begun."""
        folder = self.folder / "attempts"
        return max((int(path.stem) for path in folder.glob("*.json")), default=0) if folder.is_dir() else 0

    def begin_attempt(self) -> int:
        """Number a new attempt and clear what an attempt that did not finish left; the caller holds the lock.

        Clears temporary checkpoints, `outputs/`, and journal lines after the newest valid checkpoint.
        """
        make_folder(self.folder / "attempts")
        number = self.attempts() + 1
        started = json.dumps({"attempt": number, "started": _now()})
        while not write_new(self.folder / "attempts" / f"{number:04d}.json", started.encode()):
            number += 1
        self.checkpoints.clear_temporary()
        newest = self.checkpoints.latest()
        self.journal.truncate_to(newest.journal_offset if newest else 0)
        remove_tree(self.outputs)
        make_folder(self.outputs)
        return number

    def fence(self, attempt: int) -> None:
        """Raise `LockedError` where a later attempt than `attempt` has begun.

        The kernel's lock keeps two processes of one machine apart; where several machines share the store and
        their locks do not reach each other, the number does.
        """
        newest = self.attempts()
        if newest > attempt:
            raise LockedError(
                f"Attempt {newest} of the unit {self.spec.name} has begun elsewhere; attempt {attempt} writes nothing "
                "more. `mtquant status` shows who holds the unit."
            )

    def done(self) -> Done | None:
        """Return the marker of completion, or None. Raises `StoreError` where it or an output file is damaged.

        Outputs are compared by size here and by content in `verify`.
        """
        path = self.folder / DONE
        try:
            with guarded(path, "read", passing=(FileNotFoundError,)):
                found: dict[str, Any] = json.loads(path.read_bytes())
                digest = found.pop("sha256")
                if digest_json(found) != digest or found["unit_key"] != self.spec.key:
                    raise StoreError(f"{path} is damaged or belongs to another unit. {_REBUILD}")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, AttributeError) as error:
            raise StoreError(f"{path} is damaged. {_REBUILD}") from error
        metrics = {name: from_json_number(value) for name, value in found.pop("metrics").items()}
        done = Done(metrics=metrics, **found)
        for name, expected in done.files.items():
            file = self.outputs / name
            if not file.is_file() or file.stat().st_size != expected["size"]:
                raise StoreError(f"{file} is missing or cut short. {_REBUILD}")
        return done

    def verify(self) -> Done | None:
        """Do what `done` does and also compare the content of every output file."""
        done = self.done()
        for name, expected in done.files.items() if done else ():
            if digest_file(self.outputs / name) != expected["sha256"]:
                raise StoreError(f"{self.outputs / name} is damaged: its content changed. {_REBUILD}")
        return done

    def finish(
        self,
        metrics: Mapping[str, float],
        outputs: Mapping[str, str],
        consumed: Mapping[str, Mapping[str, str]] | None = None,
        wall_seconds: float = 0.0,
    ) -> None:
        """Declare the unit complete: write `DONE.json`, last and atomically.

        `outputs` maps a deterministic artifact name to the sha256 of its content (nothing with times or hosts).
        """
        make_folder(self.outputs)
        self.journal.sync()
        paths = sorted(path for path in self.outputs.rglob("*") if path.is_file())
        files = {
            path.relative_to(self.outputs).as_posix(): {"sha256": digest_file(path), "size": path.stat().st_size}
            for path in paths
        }
        content = {
            "unit_key": self.spec.key,
            "attempts": self.attempts(),
            "metrics": {name: to_json_number(value) for name, value in metrics.items()},
            "outputs": dict(outputs),
            "files": files,
            "consumed": {name: dict(read) for name, read in (consumed or {}).items()},
            "finished": _now(),
            "wall_seconds": round(float(wall_seconds), 3),
        }
        text = json.dumps(content | {"sha256": digest_json(content)}, indent=1, sort_keys=True, allow_nan=False)
        write_atomic(self.folder / DONE, text.encode())

    def set_aside(self, *, checkpoints: bool = False) -> None:
        """Move the marker and the outputs to `quarantine`, and with `checkpoints` those too; the caller holds the lock.

        With them the unit starts from step 0; without, from its newest checkpoint.
        """
        for path in (self.folder / DONE, self.outputs, *((self.checkpoints.root,) if checkpoints else ())):
            if path.exists():
                quarantine(path, self.quarantine_folder)


_REBUILD = "`mtquant resume` sets it aside and rebuilds it from the last checkpoint."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_spec(folder: Path) -> UnitSpec:
    """Return the description in a unit's folder. Raises `StoreError` where it is missing or damaged."""
    path = folder / SPEC
    try:
        with guarded(path, "read", passing=(FileNotFoundError,)):
            found: dict[str, Any] = json.loads(path.read_bytes())
            key = found.pop("key")
        spec = UnitSpec(**(found | {"upstream": tuple(found["upstream"])}))
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is missing or damaged; delete the folder to run the unit again.") from error
    if spec.key != key:
        raise StoreError(f"{path} is damaged: its inputs do not give its key; delete the folder.")
    return spec


def stored_units(root: Path) -> list[Unit]:
    """Return every unit in the store whose description can be read, in order of folder names."""
    folders = sorted((root / UNITS).glob("*/")) if (root / UNITS).is_dir() else []
    found = []
    for folder in folders:
        try:
            found.append(Unit(root, read_spec(folder)))
        except StoreError:
            continue
    return found


class UnitHandle:
    """What running work may use of its unit: random streams, journal, checkpoints, outputs, the wish to stop."""

    def __init__(
        self,
        unit: Unit,
        streams: Streams,
        attempt: int,
        checkpoint_seconds: float,
        stop_requested: Callable[[], bool] = lambda: False,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit = unit
        self.streams = streams
        self.attempt = attempt
        self.folder = unit.folder
        self.outputs = unit.outputs
        self.stop_requested = stop_requested
        self._environment = dict(environment or {})
        self._checkpoint_seconds = checkpoint_seconds
        self._clock = clock
        self._last_checkpoint = clock()
        self._chain = Chain()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append metrics of `step` to the journal; NaN means undefined."""
        self.unit.journal.append(step, metrics)
        LOGGER.info("step %d: %s", step, ", ".join(f"{name} {value:.6g}" for name, value in metrics.items()))

    def link(self, step: int, snapshot: Snapshot) -> Link:
        """Add the state after an update to the hash chain that the next checkpoint carries."""
        return self._chain.add(step, snapshot)

    @property
    def head(self) -> str:
        """Return the head of the hash chain over all updates from step 0 on."""
        return self._chain.head

    def checkpoint_due(self) -> bool:
        """Return whether `checkpoint_seconds` have passed since the last checkpoint; ask at boundaries."""
        return self._clock() - self._last_checkpoint >= self._checkpoint_seconds

    def save_checkpoint(self, step: int, snapshot: Snapshot, metrics: Mapping[str, float] | None = None) -> None:
        """Write the state at a rollout boundary. Raises `StoreError`; earlier checkpoints stay.

        Raises `LockedError` where another attempt took over.
        """
        self.unit.fence(self.attempt)
        self.unit.checkpoints.save(
            step, snapshot, self.attempt, self._environment, chain=self._chain.slice(), metrics=metrics
        )
        self._chain.restart(step)
        self._last_checkpoint = self._clock()
        LOGGER.info("step %d: checkpoint written", step)

    def load_checkpoint(self) -> tuple[int, Snapshot] | None:
        """Return step and state of the newest valid checkpoint, or None to start from zero."""
        found = self.unit.checkpoints.latest()
        if found is None:
            return None
        self._chain = Chain(found.step, found.chain().end)
        return found.step, found.load()
