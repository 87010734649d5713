"""`challenger` follows every finished run; `champion` moves only through the gate, with its figures kept."""

from dataclasses import replace

import pytest

from mtquant.errors import GateError, StoreError, UsageError
from mtquant.execution.registering import promote, register_challenger, roll_back
from mtquant.store.promotions import CHALLENGER, CHAMPION, PROMOTIONS, holder_of_alias, read_assignments
from mtquant.store.runs import save_run, unit_of_run
from mtquant.store.units import DONE
from tests.execution.finished import finished_run


def champion(root):
    found = holder_of_alias(read_assignments(root), CHAMPION)
    return found.policy.run_id if found else None


def test_a_finished_run_becomes_challenger_once(tmp_path):
    first, second = finished_run(tmp_path), finished_run(tmp_path, seed=1)
    made = register_challenger(tmp_path, first.run_id)
    assert (made.alias, made.policy.run_id, made.policy.stage) == (CHALLENGER, first.run_id, "phase3")
    assert made.policy.export == first.units["export-onnx"]["key"]
    assert set(made.policy.outputs) == {"phase3-hierarchy.onnx"}
    register_challenger(tmp_path, second.run_id)
    assert register_challenger(tmp_path, first.run_id) == made, "an old run that is looked at again is not the newest"
    assert [entry.policy.run_id for entry in read_assignments(tmp_path)] == [first.run_id, second.run_id]


def test_the_stage_is_the_one_that_earned_its_place(tmp_path):
    record = finished_run(tmp_path, deployed=2)
    assert register_challenger(tmp_path, record.run_id).policy.stage == "phase2"


@pytest.mark.parametrize("missing", ["evaluate-report", "export-onnx"])
def test_a_run_without_evaluation_or_export_registers_nothing(tmp_path, missing):
    record = finished_run(tmp_path)
    kept = {name: entry for name, entry in record.units.items() if name != missing}
    save_run(tmp_path, replace(record, units=kept))
    assert register_challenger(tmp_path, record.run_id) is None
    with pytest.raises(GateError, match="evaluated and exported"):
        promote(tmp_path, record.run_id)
    assert read_assignments(tmp_path) == []


def test_a_run_that_is_still_at_work_registers_nothing(tmp_path):
    record = finished_run(tmp_path)
    (unit_of_run(tmp_path, record, "export-onnx").folder / DONE).unlink()
    assert register_challenger(tmp_path, record.run_id) is None
    with pytest.raises(GateError, match=f"export-onnx is not complete.*mtquant resume {record.run_id}"):
        promote(tmp_path, record.run_id)


def test_the_gate_lets_through_what_beats_phase_1_and_every_baseline(tmp_path):
    record = finished_run(tmp_path)
    made = promote(tmp_path, record.run_id, reason="the first")
    assert (made.verdict, made.reason, champion(tmp_path)) == ("met", "the first", record.run_id)
    assert set(made.figures) == {"phase 1", "flat", "momentum"}
    assert all(figure["low"] > 0.0 and figure["met"] for figure in made.figures.values())
    assert promote(tmp_path, record.run_id) == made, "it stands there already"
    assert len(read_assignments(tmp_path)) == 1


def test_a_refusal_names_the_figure_and_what_is_allowed(tmp_path):
    record = finished_run(tmp_path, edges=(0.15, 0.15, 0.15))
    with pytest.raises(GateError) as refused:
        promote(tmp_path, record.run_id)
    text = str(refused.value)
    assert "against phase 1:" in text
    assert "% interval" in text
    assert "momentum" not in text, "that one was met"
    assert "There is no champion yet" in text
    assert "--force --reason" in text
    assert champion(tmp_path) is None
    made = promote(tmp_path, record.run_id, force=True, reason="a demonstration")
    assert (made.verdict, made.reason, made.figures["phase 1"]["met"]) == ("forced", "a demonstration", False)


def test_force_needs_a_reason(tmp_path):
    record = finished_run(tmp_path)
    with pytest.raises(UsageError, match="--reason"):
        promote(tmp_path, record.run_id, force=True, reason=" ")


def test_a_champion_is_replaced_by_what_beats_it_over_the_same_days(tmp_path):
    first = finished_run(tmp_path)
    better = finished_run(tmp_path, seed=1, edges=(0.0, 0.1, 0.3))
    promote(tmp_path, first.run_id)
    made = promote(tmp_path, better.run_id)
    assert made.figures[f"champion {first.run_id}"]["low"] > 0.0
    assert champion(tmp_path) == better.run_id
    with pytest.raises(GateError, match=f"(?s)against champion {better.run_id}: -.*stays run {better.run_id}"):
        promote(tmp_path, first.run_id)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"data": "other bars"}, "data of EURUSD changed"),
        ({"costs": "zero"}, "environment.costs planted -> zero"),
        ({"bars": 280}, "different days"),
    ],
)
def test_different_bars_or_costs_are_not_compared(tmp_path, other, found):
    first = finished_run(tmp_path)
    promote(tmp_path, first.run_id)
    second = finished_run(tmp_path, seed=1, edges=(0.0, 0.1, 0.3), **other)
    with pytest.raises(GateError, match=f"not comparable: .*{found}"):
        promote(tmp_path, second.run_id)
    made = promote(tmp_path, second.run_id, force=True, reason="new bars")
    assert found in made.figures[f"champion {first.run_id}"]["problem"]


def test_a_champion_whose_evaluation_is_gone_is_not_compared(tmp_path):
    first, second = finished_run(tmp_path), finished_run(tmp_path, seed=1, edges=(0.0, 0.1, 0.3))
    promote(tmp_path, first.run_id)
    unit = unit_of_run(tmp_path, first, "evaluate-report")
    unit.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(GateError, match="not comparable: .*has no unit"):
        promote(tmp_path, second.run_id)


def test_only_the_test_split_speaks_for_a_champion(tmp_path):
    record = finished_run(tmp_path, split="validation")
    with pytest.raises(GateError, match="evaluated on the validation split"):
        promote(tmp_path, record.run_id)


def test_too_few_days_decide_nothing(tmp_path):
    record = finished_run(tmp_path, bars=9)
    with pytest.raises(GateError, match="too few days"):
        promote(tmp_path, record.run_id)


@pytest.mark.parametrize("name", ["phase1-forex", "evaluate-report", "export-onnx"])
def test_altered_files_are_never_promoted_not_even_by_force(tmp_path, name):
    record = finished_run(tmp_path)
    unit = unit_of_run(tmp_path, record, name)
    path = next(path for path in sorted(unit.outputs.iterdir()))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(GateError, match="its content changed"):
        promote(tmp_path, record.run_id, force=True, reason="please")
    assert champion(tmp_path) is None


def test_what_was_evaluated_has_to_be_what_was_exported(tmp_path):
    record = finished_run(tmp_path)
    unit = unit_of_run(tmp_path, record, "phase3-joint")
    done = unit.done()
    unit.finish(done.metrics, {"weights.json": "0" * 64}, done.consumed)
    with pytest.raises(GateError, match="made from another phase3-joint"):
        promote(tmp_path, record.run_id, force=True, reason="please")


def test_without_a_name_the_challenger_is_promoted(tmp_path):
    first, _ = finished_run(tmp_path), finished_run(tmp_path, seed=1)
    register_challenger(tmp_path, first.run_id)
    assert promote(tmp_path).policy.run_id == first.run_id


def test_rollback_goes_back_to_the_champion_before(tmp_path):
    first, second = finished_run(tmp_path), finished_run(tmp_path, seed=1, edges=(0.0, 0.1, 0.3))
    promote(tmp_path, first.run_id)
    with pytest.raises(UsageError, match="its first"):
        roll_back(tmp_path)
    last = promote(tmp_path, second.run_id)
    made = roll_back(tmp_path, reason="it lost money")
    assert (made.verdict, made.rollback_of, made.reason) == ("rollback", last.number, "it lost money")
    assert champion(tmp_path) == first.run_id
    with pytest.raises(UsageError, match="no earlier"):
        roll_back(tmp_path)
    assert promote(tmp_path, second.run_id).verdict == "met", "after a rollback it may earn its place again"


def test_a_rollback_to_what_is_no_longer_whole_is_refused(tmp_path):
    first, second = finished_run(tmp_path), finished_run(tmp_path, seed=1, edges=(0.0, 0.1, 0.3))
    promote(tmp_path, first.run_id)
    promote(tmp_path, second.run_id)
    (unit_of_run(tmp_path, first, "export-onnx").outputs / "phase3-hierarchy.onnx").unlink()
    with pytest.raises(GateError, match="missing"):
        roll_back(tmp_path)
    assert champion(tmp_path) == second.run_id


def test_the_challenger_can_be_moved_without_the_gate(tmp_path):
    first, second = finished_run(tmp_path, edges=(0.1, 0.1, 0.1)), finished_run(tmp_path, seed=1)
    register_challenger(tmp_path, second.run_id)
    assert promote(tmp_path, first.run_id, alias=CHALLENGER).verdict == "registered"
    assert holder_of_alias(read_assignments(tmp_path), CHALLENGER).policy.run_id == first.run_id
    with pytest.raises(UsageError, match="no alias `champoin`.*Did you mean `champion`"):
        promote(tmp_path, first.run_id, alias="champoin")


def test_nothing_moves_on_the_word_of_a_damaged_record(tmp_path):
    record = finished_run(tmp_path)
    (tmp_path / PROMOTIONS).write_text('{"alias": "champion"}\n')
    for action in (register_challenger, promote):
        with pytest.raises(StoreError, match="damaged"):
            action(tmp_path, record.run_id)
