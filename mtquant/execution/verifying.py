"""Checks a unit by doing its work again: `python -m mtquant.execution.verifying --run RUN --unit NAME`.

A trained unit continues in a scratch folder from one of its checkpoints to the next, and every update is
compared with the hash chain that the later one carries. The store is only read. The last line on standard
output is a `Verdict` as JSON. `mtquant verify` starts it with the threads of a unit's process.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mtquant.context import Streams, store_root
from mtquant.errors import MTQuantError, StoreError
from mtquant.execution.attempt import Settings, Work, outputs_of, read_settings
from mtquant.execution.numerics import numeric_environment
from mtquant.store.chain import Link, different_part
from mtquant.store.checkpoints import Checkpoint
from mtquant.store.digests import code_versions
from mtquant.store.explanation import explain
from mtquant.store.runs import RunRecord, load_run, unit_of_run
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import Unit, UnitHandle

EQUAL = "equal"


@dataclass(frozen=True)
class Verdict:
    """What doing a unit's work again gave."""

    unit: str
    equal: bool
    updates: int
    """Updates that were repeated and compared; 0 where only files were."""
    start: int
    """Step that was repeated from."""
    end: int
    message: str
    """`equal`, or what differs first."""
    notes: tuple[str, ...] = ()
    """Why equality is not to be expected here: other code, another processor."""


@dataclass(frozen=True)
class Interval:
    """What is repeated, and what must come out."""

    begin: Checkpoint | None
    """None: from step 0."""
    end: int
    links: tuple[Link, ...]

    @property
    def start(self) -> int:
        """Return the step it begins at."""
        return self.begin.step if self.begin else 0


class _ReachedError(Exception):
    """The interval's end; nothing differed."""


class _DiffersError(Exception):
    """An update gave another state than the one recorded."""


class _Comparing(UnitHandle):
    """Lets work continue as it once did, writes no checkpoints, and compares each update."""

    def __init__(self, unit: Unit, seed: int, interval: Interval, *, stop_at_end: bool) -> None:
        super().__init__(unit, Streams(seed), 0, float("inf"))
        self.compared = 0
        self._recorded = {link.step: link for link in interval.links}
        self._end = interval.end if stop_at_end else None

    def link(self, step: int, snapshot: Snapshot) -> Link:
        """Compare the state with the recorded one of this step, where there is one."""
        found = super().link(step, snapshot)
        recorded = self._recorded.get(step)
        if recorded is not None:
            part = different_part(recorded, found)
            if part is not None:
                raise _DiffersError(f"the update that ends at step {step:,} gives another `{part}`")
            self.compared += 1
        if step == self._end:
            raise _ReachedError
        return found

    def save_checkpoint(self, step: int, snapshot: Snapshot, metrics: Mapping[str, float] | None = None) -> None:
        """Write nothing."""


def verify_unit(root: Path, record: RunRecord, name: str, work: Mapping[str, Work], *, full: bool = False) -> Verdict:
    """Compare a unit's files with their digests, then repeat its newest interval; `full` repeats all from step 0.

    Raises `LockedError` where the unit is at work and `StoreError` where a file of it is damaged.
    """
    unit = unit_of_run(root, record, name)
    with unit.lock():
        done = unit.verify()
        if damage := unit.checkpoints.verify():
            raise StoreError(" ".join(damage))
        interval = interval_of(unit, full=full and done is not None)
        if interval is None:
            if done is None:
                return Verdict(name, True, 0, 0, 0, "nothing to compare yet: no checkpoint and not finished")
            return Verdict(name, True, 0, 0, 0, "its files are what its marker says (`--full` makes them again)")
        with tempfile.TemporaryDirectory(prefix="mtquant-verify-") as scratch:
            return _repeat(root, record, unit, interval, Path(scratch), work)


def interval_of(unit: Unit, *, full: bool = False) -> Interval | None:
    """Return the newest interval whose beginning is still there; with `full` the whole way from step 0."""
    retained = {found.step: found for found in unit.checkpoints.retained()}
    chains = {step: found.chain() for step, found in retained.items()}
    if full:
        links = tuple(link for step in sorted(chains) for link in chains[step].links)
        return Interval(None, unit.spec.total_steps, links)
    for step in sorted(chains, reverse=True):
        chain = chains[step]
        if chain.links and (chain.step == 0 or chain.step in retained):
            return Interval(retained.get(chain.step), step, chain.links)
    return None


def _repeat(
    root: Path, record: RunRecord, unit: Unit, interval: Interval, scratch: Path, work: Mapping[str, Work]
) -> Verdict:
    spec = read_settings(record)
    done = unit.done()
    finishing = done is not None and interval.end >= unit.spec.total_steps
    handle = _Comparing(_copy(unit, interval, scratch), spec.seed, interval, stop_at_end=not finishing)
    folders = {name: unit_of_run(root, record, name).outputs for name in unit.spec.upstream}
    message = EQUAL
    try:
        result = work[unit.spec.kind](spec, unit.spec, folders, handle)
        found, expected = outputs_of(result, handle), done.outputs if done else {}
        if different := sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n)):
            message = f"the result differs in {', '.join(different)}"
    except _ReachedError:
        pass
    except _DiffersError as error:
        message = str(error)
    notes = () if message == EQUAL else _notes(unit, spec, interval)
    return Verdict(unit.spec.name, message == EQUAL, handle.compared, interval.start, interval.end, message, notes)


def _copy(unit: Unit, interval: Interval, scratch: Path) -> Unit:
    """Return the unit in `scratch` as it stood at the interval's beginning."""
    copy = Unit(scratch, unit.spec)
    copy.create()
    copy.outputs.mkdir()
    if interval.begin is not None:
        shutil.copytree(interval.begin.folder, copy.checkpoints.root / interval.begin.folder.name)
        with unit.journal.path.open("rb") as journal:
            copy.journal.path.write_bytes(journal.read(interval.begin.journal_offset))
    return copy


def _notes(unit: Unit, spec: Settings, interval: Interval) -> tuple[str, ...]:
    """Return what is not as it was when the unit was made."""
    before = unit.spec.inputs.get("code", {})
    parts = [name for name in before if name.split(".")[0] == "mtquant"]
    changes = explain({"code": before}, {"code": code_versions(parts)}) if before else ()
    notes = [f"since it was made: {line}" for line in changes]
    here = numeric_environment(spec.device)
    if interval.begin is not None and interval.begin.environment != here:
        notes.append(f"it was made on {interval.begin.environment}, this is {here}")
    return tuple(notes)


def main(argv: Sequence[str] | None = None, work: Mapping[str, Work] | None = None) -> int:
    """Verify one unit, print the verdict, and return 0, or the exit code of an error. `work` as in `unit.main`."""
    parser = argparse.ArgumentParser(prog="python -m mtquant.execution.verifying", description="Verify one unit.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--unit", required=True, help="name of the unit, as `mtquant status` shows it")
    parser.add_argument("--full", action="store_true", help="repeat everything from step 0")
    arguments = parser.parse_args(argv)
    root = store_root()
    try:
        if work is None:
            from mtquant.execution.work import WORK

            work = WORK
        verdict = verify_unit(root, load_run(root, arguments.run), arguments.unit, work, full=arguments.full)
    except MTQuantError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return error.exit_code
    sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
