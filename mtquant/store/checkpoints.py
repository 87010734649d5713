"""Checkpoints of a unit: written whole or not at all, verified before use; the last two and the best are kept."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.chain import START, ChainSlice
from mtquant.store.digests import digest_file, digest_json
from mtquant.store.files import guarded, make_folder, quarantine, remove_tree, sync_folder, write_durable
from mtquant.store.journal import Journal, from_json_number, headline, to_json_number
from mtquant.store.snapshot import Snapshot

MANIFEST = "MANIFEST.json"
SCHEMA = 2
KEEP = 2
"""Newest checkpoints that stay; the best one by its headline metric stays beside them."""
_DIGITS = 12


class CheckpointWarning(UserWarning):
    """A checkpoint was damaged and set aside."""


@dataclass(frozen=True)
class Checkpoint:
    """One verified checkpoint."""

    step: int
    journal_offset: int
    folder: Path
    environment: dict[str, str]
    """What decides the bits besides the key (device, threads, processor), as it was when written."""
    metrics: dict[str, float]
    """Measured at this step; NaN where undefined."""

    def load(self) -> Snapshot:
        """Return the learner's state. Raises `StoreError` where it cannot be read."""
        return Snapshot.read(self.folder)

    def chain(self) -> ChainSlice:
        """Return the hash chain from the checkpoint before to this one. Raises `StoreError`."""
        return ChainSlice.read(self.folder)


class Checkpoints:
    """Folders `<root>/<step, 12 digits>/` with the snapshot's files, its chain and a manifest of their sha256.

    The manifest is written last and the folder renamed into place, so a crash leaves a temporary folder
    that the next attempt clears. What does not verify goes to `quarantine` and the one before is used.
    """

    def __init__(self, root: Path, quarantine_folder: Path, journal: Journal) -> None:
        self.root = root
        self.quarantine_folder = quarantine_folder
        self.journal = journal

    def save(
        self,
        step: int,
        snapshot: Snapshot,
        attempt: int,
        environment: Mapping[str, str] | None = None,
        *,
        chain: ChainSlice = START,
        metrics: Mapping[str, float] | None = None,
    ) -> Path:
        """Write the state at `step` durably, refer to the journal as it is now, and drop what retention does not keep.

        Raises `StoreError` where the disk is full or not writable; earlier checkpoints stay as they are.
        """
        make_folder(self.root)
        target = self._path(step)
        temporary = self.root / f".tmp-{step:0{_DIGITS}d}-{attempt}"
        remove_tree(temporary)
        make_folder(temporary)
        try:
            snapshot.write(temporary)
            chain.write(temporary)
            offset = self.journal.sync()
            manifest: dict[str, Any] = {
                "schema": SCHEMA,
                "step": step,
                "attempt": attempt,
                "journal_offset": offset,
                "journal_sha256": self.journal.digest(offset),
                "environment": dict(environment or {}),
                "metrics": {name: to_json_number(value) for name, value in (metrics or {}).items()},
                "chain": chain.end,
                "files": _described(temporary),
            }
            content = manifest | {"sha256": digest_json(manifest)}
            write_durable(temporary / MANIFEST, json.dumps(content, indent=1).encode())
            sync_folder(temporary)
            # A checkpoint of the same step comes from an attempt that could not be read; this one replaces it.
            remove_tree(target)
            with guarded(target, "write the checkpoint"):
                temporary.rename(target)
        except StoreError:
            remove_tree(temporary)
            raise
        sync_folder(self.root)
        for path in self.superfluous():
            remove_tree(path)
        return target

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies, or None. Damaged ones are set aside with a warning."""
        for step in reversed(self._steps()):
            path = self._path(step)
            try:
                return self._verified(path, step)
            except StoreError as error:
                moved = quarantine(path, self.quarantine_folder)
                warnings.warn(f"{error} It was moved to {moved}.", CheckpointWarning, stacklevel=2)
        return None

    def verify(self) -> list[str]:
        """Return what is wrong with each checkpoint that does not verify; changes nothing."""
        problems = []
        for step in self._steps():
            try:
                self._verified(self._path(step), step)
            except StoreError as error:
                problems.append(str(error))
        return problems

    def retained(self) -> list[Checkpoint]:
        """Return every checkpoint that verifies, oldest first; changes nothing."""
        found = []
        for step in self._steps():
            try:
                found.append(self._verified(self._path(step), step))
            except StoreError:
                # `verify` says what is wrong with it.
                continue
        return found

    def lost(self) -> int:
        """Return how many checkpoints were set aside as damaged where none is left to continue from; 0 otherwise."""
        if self._steps() or not self.quarantine_folder.is_dir():
            return 0
        names = [path.name.split("-")[0] for path in self.quarantine_folder.iterdir()]
        return sum(len(name) == _DIGITS and name.isdigit() for name in names)

    def newest_step(self) -> int | None:
        """Return the step of the newest checkpoint without verifying it, for status displays."""
        steps = self._steps()
        return steps[-1] if steps else None

    def clear_temporary(self) -> None:
        """Remove what dead attempts were writing; the caller holds the unit's lock."""
        if self.root.is_dir():
            for path in self.root.glob(".tmp-*"):
                remove_tree(path)

    def _path(self, step: int) -> Path:
        return self.root / f"{step:0{_DIGITS}d}"

    def _steps(self) -> list[int]:
        with guarded(self.root, "read"):
            names = [path.name for path in self.root.iterdir()] if self.root.is_dir() else []
        return sorted(int(name) for name in names if name.isdigit())

    def superfluous(self) -> list[Path]:
        """Return what retention does not keep: all but the last two and the best."""
        steps = self._steps()
        kept = {*steps[-KEEP:], self._best(steps)}
        return [self._path(step) for step in steps if step not in kept]

    def _best(self, steps: Sequence[int]) -> int | None:
        """Return the step with the highest headline metric, without verifying more than the manifests."""
        measured: dict[int, float] = {}
        for step in steps:
            try:
                found = headline(_metrics_of(_read_manifest(self._path(step))))
            except StoreError:
                # `latest` sets it aside when its turn comes.
                continue
            if found is not None:
                measured[step] = found[1]
        return max(measured, key=lambda step: measured[step], default=None)

    def _verified(self, path: Path, step: int) -> Checkpoint:
        manifest = _read_manifest(path)
        if manifest.get("schema") != SCHEMA or manifest.get("step") != step:
            raise StoreError(
                f"The checkpoint {path} says step {manifest.get('step')} of format {manifest.get('schema')}."
            )
        names = {entry.name for entry in path.iterdir()} - {MANIFEST}
        if names != set(manifest["files"]):
            raise StoreError(f"The checkpoint {path} holds {sorted(names)}, its manifest {sorted(manifest['files'])}.")
        for name, expected in manifest["files"].items():
            if (path / name).stat().st_size != expected["size"] or digest_file(path / name) != expected["sha256"]:
                raise StoreError(f"The checkpoint file {path / name} is damaged: it differs from its manifest.")
        if self.journal.offset < manifest["journal_offset"]:
            raise StoreError(f"The checkpoint {path} counts on lines that the journal {self.journal.path} lost.")
        if self.journal.digest(manifest["journal_offset"]) != manifest["journal_sha256"]:
            raise StoreError(f"The checkpoint {path} counts on lines of the journal {self.journal.path} that changed.")
        return Checkpoint(step, manifest["journal_offset"], path, manifest["environment"], _metrics_of(manifest))


def _described(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: {"sha256": digest_file(path), "size": path.stat().st_size} for path in sorted(folder.iterdir())}


def _metrics_of(manifest: Mapping[str, Any]) -> dict[str, float]:
    return {name: from_json_number(value) for name, value in manifest["metrics"].items()}


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest whose own digest fits. Raises `StoreError`."""
    try:
        with guarded(path, "read the checkpoint", passing=(FileNotFoundError,)):
            manifest: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
            found = manifest.pop("sha256")
    except (FileNotFoundError, ValueError, KeyError, AttributeError) as error:
        raise StoreError(f"The checkpoint {path} has no readable manifest.") from error
    if digest_json(manifest) != found:
        raise StoreError(f"The manifest of the checkpoint {path} is damaged.")
    return manifest
