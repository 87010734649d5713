"""Journals as TensorBoard events, on request; derived files that are rewritten when a journal was cut."""

import math
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from mtquant.store.journal import JournalLine
from mtquant.store.runs import RunRecord, unit_of_run
from mtquant.store.units import Unit

PAUSE_SECONDS = 5.0


class TensorBoardEvents:
    """Follows the journals of a run into `<folder>/<unit>/events.*`; call `update` now and then."""

    def __init__(self, root: Path, record: RunRecord, folder: Path) -> None:
        self.root, self.record, self.folder = root, record, folder
        self._curves: dict[str, _Curves] = {}
        self._updated = time.monotonic()

    def update_soon(self) -> None:
        """Do what `update` does if it has not been done for some seconds."""
        if time.monotonic() - self._updated >= PAUSE_SECONDS:
            self.update()
            self._updated = time.monotonic()

    def update(self) -> None:
        """Write what the journals have gained."""
        for name in self.record.units:
            if name not in self._curves:
                self._curves[name] = _Curves(unit_of_run(self.root, self.record, name), self.folder / name)
            self._curves[name].update()

    def close(self) -> None:
        """Write the rest and close the files."""
        self.update()
        for curves in self._curves.values():
            curves.close()


class _Curves:
    """The events of one unit."""

    def __init__(self, unit: Unit, folder: Path) -> None:
        # No torch is needed to write events, only TensorBoard's own classes, which have no type information.
        proto = "tensorboard.compat.proto"
        self._event: Any = import_module(f"{proto}.event_pb2").Event
        self._summary: Any = import_module(f"{proto}.summary_pb2").Summary
        self._make_writer: Any = import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter
        self.unit, self.folder = unit, folder
        self._offset = 0
        self._writer: Any = None

    def update(self) -> None:
        if self.unit.journal.offset < self._offset:
            # A resumed attempt measures the last lines again.
            self.close()
            self._offset = 0
        lines, self._offset = self.unit.journal.read_from(self._offset)
        if not lines:
            return
        if self._writer is None:
            self._clear()
            self._writer = self._make_writer(str(self.folder))
        for line in lines:
            self._write(line)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _clear(self) -> None:
        for path in self.folder.glob("events.out.tfevents.*") if self.folder.is_dir() else ():
            path.unlink()

    def _write(self, line: JournalLine) -> None:
        values = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in line.metrics.items()
            if math.isfinite(value)
        ]
        event = self._event(wall_time=line.wall, step=line.step, summary=self._summary(value=values))
        self._writer.add_event(event)
