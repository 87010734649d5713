"""`stop`: ask a run to write its checkpoints and end, and wait until it has."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mtquant.cli import options
from mtquant.cli.processes import arguments_of, ask_to_stop
from mtquant.context import store_root
from mtquant.errors import LockedError, StoreError
from mtquant.store.locks import Holder
from mtquant.store.runs import (
    BEGIN,
    RunRecord,
    append_event,
    begin_holder,
    load_run,
    read_events,
    run_folder,
    run_holder,
    unit_of_run,
)
from mtquant.store.status import STOP_ASKED, run_status

POLL_SECONDS = 0.2

TimeoutOption = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for the checkpoints.")]


def stop(run: options.Run = None, timeout: TimeoutOption = 120.0) -> None:
    """Stop a run cleanly: its units write checkpoints and end, `mtquant resume` continues exactly."""
    root = store_root()
    record = load_run(root, run)
    give_up = time.monotonic() + timeout
    asked = _Asked(root, record)
    while held := asked.all_holders():
        if time.monotonic() >= give_up:
            raise LockedError(_still_there(record, held, asked.who, timeout))
        time.sleep(POLL_SECONDS)
    _conclude(root, record, bool(asked.who))


@dataclass(frozen=True)
class _Held:
    what: str
    holder: Holder
    lock: Path
    passes_on: bool = False
    """Whether it passes the wish on to what it starts: an engine that comes after it was asked already."""


class _Asked:
    """Who was asked to stop: nobody twice, because a second signal ends the units of a flow at once."""

    def __init__(self, root: Path, record: RunRecord) -> None:
        self.root, self.record = root, record
        self.who: set[tuple[int, str]] = set()
        self._passed_on = False
        self._before = {
            (event.get("pid"), event.get("since"))
            for event in read_events(root, record.run_id)
            if event.get("event") == STOP_ASKED
        }

    def all_holders(self) -> list[_Held]:
        """Ask everybody who holds the run now and was not asked before; return them all."""
        found = list(_holders(self.root, load_run(self.root, self.record.run_id)))
        for entry in found:
            if (entry.holder.pid, entry.holder.since) not in self.who:
                self._ask(entry)
        return found

    def _ask(self, held: _Held) -> None:
        key = (held.holder.pid, held.holder.since)
        if self._passed_on:
            # Asked by the process that started it; a second time would end its units at once.
            pass
        elif key in self._before:
            typer.echo(f"{held.what} was asked to stop before; waiting for {held.holder}")
        elif ask_to_stop(held.holder, held.lock):
            append_event(self.root, self.record.run_id, STOP_ASKED, pid=key[0], since=key[1])
            typer.echo(f"asked {held.what} ({held.holder}) to stop; waiting for checkpoints")
        else:
            # Gone, or its name is not written yet: the next look tells.
            return
        self._passed_on = held.passes_on
        self.who.add(key)


def _holders(root: Path, record: RunRecord) -> Iterator[_Held]:
    """Yield who executes the run: its engine, who prepares it, or units whose engine is gone."""
    folder = run_folder(root, record.run_id)
    what = f"the run {record.run_id}"
    beginner = begin_holder(root, record.run_id)
    engine = run_holder(root, record.run_id)
    if engine is not None:
        yield _Held(what, engine, folder / "lock")
        return
    if beginner is not None:
        yield _Held(what, beginner, folder / BEGIN, passes_on=True)
        return
    for name in record.units:
        try:
            unit = unit_of_run(root, record, name)
        except StoreError:
            continue
        holder = unit.holder()
        # Another run may be making the same unit; that one is not to be stopped.
        if holder is not None and record.run_id in arguments_of(holder.pid):
            yield _Held(f"the unit {name}, whose engine is gone", holder, unit.folder / "lock")


def _still_there(record: RunRecord, held: list[_Held], asked: set[tuple[int, str]], timeout: float) -> str:
    known = [entry for entry in held if (entry.holder.pid, entry.holder.since) in asked]
    if not known:
        return (
            f"Something holds {held[0].lock}, but it is not {held[0].holder}, whom the lock names; a container that "
            "shares this folder, perhaps. Run `mtquant stop` where it runs."
        )
    names = ", ".join(f"{entry.what} by {entry.holder}" for entry in known)
    pids = " ".join(str(entry.holder.pid) for entry in known)
    return (
        f"After {timeout:g} s the run {record.run_id} is still on its way to its checkpoints (held: {names}). "
        f"`mtquant status {record.run_id} --watch` shows when it ends. To end it now and lose what is newer than the "
        f"last checkpoint: kill -KILL {pids}"
    )


def _conclude(root: Path, record: RunRecord, stopped: bool) -> None:
    run = record.run_id
    state = run_status(root, load_run(root, run)).state
    if state == "done":
        typer.echo(f"The run {run} is done; there is nothing {'left ' if stopped else ''}to stop.")
    elif stopped:
        typer.echo(f"The run {run} has stopped. Continue exactly with: mtquant resume {run}")
    elif state == "running":
        typer.echo(
            f"No process of the run {run} is at work; another run is making units of it (`mtquant status {run}`)."
        )
    else:
        typer.echo(f"Nothing runs here: the run {run} is {state}. Continue it with: mtquant resume {run}")
