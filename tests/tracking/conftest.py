"""A store with one run of three small units, and an MLflow database that was initialised once."""

import shutil
import warnings
from pathlib import Path

import pytest
from sqlalchemy.exc import SADeprecationWarning

from mtquant.store.runs import RunRecord, append_event, create_run, save_run
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import Unit, UnitSpec
from tests.tracking.exports import Exported, make_export

UNITS = (
    UnitSpec(
        "phase1-forex",
        "phase1",
        "forex",
        {
            "config": {
                "phase1": {"ppo": {"gamma": 0.9, "actor_hidden": [64, 64]}},
                "instruments": {"EURUSD": {"group": "forex"}},
            },
            "data": {"EURUSD": "abc", "clock": "def"},
            "seed": 3,
        },
        (),
        100,
    ),
    UnitSpec("phase1-equity", "phase1", "equity", {"config": {}, "seed": 3}, (), 100),
    UnitSpec("evaluate-report", "evaluate", "report", {"config": {}, "seed": 3}, ("phase1-forex",), 1),
)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an initialised database; MLflow takes seconds for its migrations."""
    from mtquant.tracking.publisher import Publisher

    root = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        # MLflow's own use of SQLAlchemy 2.1, once per process.
        warnings.simplefilter("ignore", SADeprecationWarning)
        assert Publisher(root).client.search_experiments()
    return root / "mlflow.db"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return a real export."""
    return make_export(tmp_path_factory.mktemp("export"))


@pytest.fixture
def root(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a store with an empty tracking database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def record(root: Path) -> RunRecord:
    """Return a run whose units have begun nothing."""
    made = create_run(root, ["train", "--profile", "smoke"], {"seed": 3, "data": {"source": "gp-easy"}}, "direct")
    append_event(root, made.run_id, "created", profile="smoke", git="1234567")
    made = made.with_units(UNITS)
    save_run(root, made)
    for spec in UNITS:
        Unit(root, spec).create()
    return made


def begin(root: Path, spec: UnitSpec, lines: int = 0, wall: float = 1e9) -> Unit:
    """Begin an attempt and continue the journal to `lines` lines, as a deterministic trainer would."""
    unit = Unit(root, spec)
    unit.begin_attempt()
    grow(unit, lines, wall)
    return unit


def grow(unit: Unit, lines: int, wall: float = 1e9) -> None:
    """Continue the journal to `lines` lines of 10 steps each; `wall` is when this attempt measured them."""
    for number in range(len(unit.journal.read()) + 1, lines + 1):
        metrics = {"reward": number * 0.5, "loss": 1.0 / number, "undefined": float("nan")}
        unit.journal.append(10 * number, metrics, wall + number)


def checkpoint(unit: Unit) -> None:
    """Write a checkpoint at the last journal line."""
    last = unit.journal.last()
    assert last is not None
    unit.checkpoints.save(last.step, Snapshot({}, {}), unit.attempts())
