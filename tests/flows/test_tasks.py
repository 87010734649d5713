"""What a node does and how its outcome is shown, without a server."""

import pytest
from prefect.client.schemas.objects import StateType

from flows.execution import Execution
from flows.tasks import _check_specialists, _register, state_of
from mtquant.execution.supervisor import Outcome, Supervisor
from mtquant.store.runs import create_run, save_run, unit_of_run
from mtquant.store.units import Unit, UnitSpec


@pytest.mark.parametrize(
    ("state", "kind", "name"),
    [
        ("done", StateType.COMPLETED, "Completed"),
        ("reused", StateType.COMPLETED, "Reused"),
        ("stopped", StateType.CANCELLED, "Stopped"),
        ("skipped", StateType.CANCELLED, "Skipped"),
        ("failed", StateType.FAILED, "Failed"),
    ],
)
def test_every_outcome_has_a_state_of_its_own(state, kind, name):
    shown = state_of(Outcome("phase1-forex", state, 0, "the reason", 2))
    assert (shown.type, shown.name) == (kind, name)
    assert state == "reused" or shown.message == "the reason"


@pytest.fixture
def execution(tmp_path):
    """Return a run of two complete specialists."""
    record = create_run(tmp_path, ["train"], {}, "prefect")
    specs = [UnitSpec(f"phase1-{group}", "phase1", group, {"group": group}) for group in ("forex", "equity")]
    for spec in specs:
        unit = Unit(tmp_path, spec)
        unit.create()
        unit.begin_attempt()
        (unit.outputs / "weights").write_text(spec.subject)
        unit.finish({}, {})
    record = record.with_units(specs)
    save_run(tmp_path, record)
    return Execution(Supervisor(tmp_path, record.run_id)), [unit_of_run(tmp_path, record, spec.name) for spec in specs]


def test_the_gate_says_what_came_out(execution):
    outcome = _check_specialists(execution[0], "gate")
    assert (outcome.state, outcome.message) == ("done", "2 specialists are complete and undamaged")


def test_the_gate_stops_at_damage_that_sizes_do_not_show(execution):
    path = execution[1][1].outputs / "weights"
    path.write_text("Equity")
    outcome = _check_specialists(execution[0], "gate")
    assert (outcome.state, outcome.exit_code) == ("failed", 9)
    assert str(path) in outcome.message
    assert "its content changed" in outcome.message


def test_the_gate_stops_where_a_marker_is_missing(execution):
    (execution[1][0].folder / "DONE.json").unlink()
    outcome = _check_specialists(execution[0], "gate")
    assert (outcome.state, outcome.message) == ("failed", "phase1-forex is not complete")


def test_a_run_without_an_export_registers_nothing(execution):
    outcome = _register(execution[0], "register")
    assert (outcome.state, outcome.message) == ("skipped", "the run left no policy to deploy")
