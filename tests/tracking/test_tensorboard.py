"""TensorBoard shows the journal, whatever was cut off and measured again."""

import math

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mtquant.store.runs import create_run, save_run
from mtquant.store.units import Unit, UnitSpec
from mtquant.tracking.tensorboard import TensorBoardEvents

SPEC = UnitSpec("phase1-forex", "phase1", "forex", {}, (), 100)


def shown(folder):
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: [(e.wall_time, e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_events_are_the_journal(tmp_path):
    record = create_run(tmp_path, [], {}, "direct").with_units([SPEC])
    save_run(tmp_path, record)
    unit = Unit(tmp_path, SPEC)
    unit.create()
    board = TensorBoardEvents(tmp_path, record, tmp_path / "logs")
    board.update()
    assert not (tmp_path / "logs").exists()
    unit.journal.append(10, {"reward": 0.5, "loss": math.nan}, 100.0)
    cut = unit.journal.offset
    unit.journal.append(20, {"reward": 0.25}, 101.0)
    board.update()
    unit.journal.truncate_to(cut)
    board.update()
    unit.journal.append(20, {"reward": 0.25}, 201.0)
    unit.journal.append(30, {"reward": 1.5}, 202.0)
    board.close()
    expected = [(100.0, 10, 0.5), (201.0, 20, 0.25), (202.0, 30, 1.5)]
    assert shown(tmp_path / "logs" / "phase1-forex") == {"reward": expected}
