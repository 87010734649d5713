"""A store with a run of toy units, and ways to execute it."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mtquant.config.agents import EnvironmentSpec, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.execution.supervisor import Supervisor
from mtquant.store.runs import RunRecord, create_run, save_run
from mtquant.store.units import Unit, UnitSpec

COMMAND = (sys.executable, "-m", "tests.execution.toy")
SPEC = PipelineSpec(
    environment=EnvironmentSpec(instruments=("EURUSD",)),
    catalogue=InstrumentsSpec(instruments={"EURUSD": InstrumentSpec(group="forex", half_spread_bps=1.0)}),
    checkpoint_seconds=0.0,
)


@dataclass
class Toys:
    """A run whose units are described by a name, what they read, and a configuration."""

    root: Path
    record: RunRecord
    units: list[UnitSpec] = field(default_factory=list)

    def add(self, name, *upstream, steps=4, **config):
        """Append a unit."""
        kind, subject = name.split("-")
        keys = {unit.name: unit.key for unit in self.units}
        inputs = {
            "kind": kind,
            "subject": subject,
            "config": config,
            "upstream": {n: keys[n] for n in upstream},
            "steps": steps,
        }
        self.units.append(UnitSpec(name, kind, subject, inputs, upstream, steps))
        Unit(self.root, self.units[-1]).create()
        self.record = self.record.with_units(self.units)
        save_run(self.root, self.record)
        return self

    def unit(self, name):
        """Return a unit by name."""
        return next(Unit(self.root, unit) for unit in self.units if unit.name == name)

    def arm(self, name):
        """Let the mishap of a unit happen once."""
        (self.root / f"armed-{name}").touch()

    def supervisor(self, **settings):
        """Return a supervisor of toy processes that does not wait long."""
        return Supervisor(self.root, self.record.run_id, command=COMMAND, **{"backoff_seconds": 0.01, **settings})

    def command(self, name):
        """Return the command line of one unit's process."""
        return [*COMMAND, "--run", self.record.run_id, "--unit", name]

    def environment(self):
        """Return the environment of a unit's process."""
        return os.environ | {"MTQUANT_STORE": str(self.root)}


def make_toys(root):
    """Return an empty run in `root`."""
    return Toys(root, create_run(root, ["train"], SPEC.model_dump(mode="json"), "direct"))


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let child processes import the toy, wherever they start."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def toys(tmp_path):
    """An empty run."""
    return make_toys(tmp_path / "store")


@pytest.fixture
def hierarchy(toys):
    """Two specialists over a dataset, and a meta over both."""
    return (
        toys.add("dataset-market")
        .add("phase1-forex", "dataset-market")
        .add("phase1-equity", "dataset-market")
        .add("phase2-meta", "phase1-forex", "phase1-equity")
    )
