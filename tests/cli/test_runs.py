"""`runs` and `gc`: what runs there are, how two differ, and what goes when one is removed."""

import json

import pytest

from mtquant.store.promotions import CHAMPION, REGISTERED, Policy, append_assignment
from mtquant.store.runs import begin_lock, create_run, list_runs, load_run, run_folder, unit_of_run
from tests.cli.conftest import PLAN, SMALL, UNITS

OTHER = ("--set", "phase3.gamma=0.8")
JOINT = ["phase3-joint", "phase3-no-peers", "evaluate-report", "export-onnx"]


@pytest.fixture
def two(finished):
    """Return the command line over a store with two runs that share the units up to phase 2."""
    assert finished("train", *SMALL, *OTHER).code == 0
    return finished


def states(cli, *changes):
    return {unit["unit"]: (unit["plan"], unit["step"]) for unit in plan(cli, *changes)}


def plan(cli, *changes):
    return json.loads(cli("plan", *PLAN, *changes, "--json").out)["units"]


def test_runs_are_listed_and_shown(finished):
    record = load_run(finished.root)
    (entry,) = json.loads(finished("runs", "list", "--json").out)
    assert entry == {
        "run": record.run_id,
        "state": "done",
        "units": "9/9",
        "profile": "smoke",
        "data": "gp-easy",
        "seed": 0,
        "engine": "direct",
    }
    assert record.run_id in finished("runs", "list").out
    shown = json.loads(finished("runs", "show", record.run_id[:15], "--json").out)
    assert shown["unit_results"]["phase2-meta"]["metrics"] == {"utility": 0.5}
    assert shown["config"] == record.config
    assert "utility: 0.5" in finished("runs", "show").out


def test_a_damaged_record_hides_no_other(two):
    first, second = json.loads(two("runs", "list", "--json").out)
    (run_folder(two.root, first["run"]) / "run.json").write_text("{")
    found = json.loads(two("runs", "list", "--json").out)
    assert [entry["state"] for entry in found] == ["damaged", "done"]
    assert found[1] == second
    for command in (["runs", "show"], ["status"], ["logs"], ["resume"], ["stop"], ["evaluate"]):
        ended = two(*command, first["run"])
        assert (ended.code, "is damaged" in ended.err) == (9, True)
    assert two("runs", "rm", first["run"]).code == 0
    assert list_runs(two.root) == [second["run"]]


def test_a_damaged_result_is_shown(finished):
    unit = unit_of_run(finished.root, load_run(finished.root), "phase2-meta")
    (unit.folder / "DONE.json").write_text("{")
    assert "DONE.json is damaged" in finished("runs", "show").out
    assert finished("gc", "--apply", "--age", "0").code == 0
    assert "damaged" in finished("status").out


def test_two_runs_are_compared(two):
    first, second = list_runs(two.root)
    found = json.loads(two("runs", "diff", first, second, "--json").out)
    assert found["settings"] == [{"key": "phase3.gamma", "ours": 0.9, "theirs": 0.8}]
    relations = {unit["name"]: unit["relation"] for unit in found["units"]}
    assert relations == {name: "different" if name in JOINT else "shared" for name in UNITS}
    changes = {unit["name"]: unit["changes"] for unit in found["units"]}
    assert changes["phase3-joint"] == ["phase3.gamma 0.9 -> 0.8"]
    assert changes["export-onnx"] == ["upstream phase3-joint changes"]
    metric = {"unit": "phase3-joint", "name": "utility", "ours": 0.5, "theirs": 0.5}
    assert metric in found["metrics"]
    assert len(found["metrics"]) == len(JOINT)
    text = two("runs", "diff", first, second).out
    assert "phase3.gamma: 0.9 -> 0.8" in text
    assert "phase3-joint utility" in text
    assert "no difference" in two("runs", "diff", first, first).out
    assert two("runs", "diff", first).code == 2
    assert two("runs", "diff", first, "1999").code == 2


def test_a_comparison_of_one_phase_with_all(finished):
    assert finished("train", *SMALL, "--phase", "1", *OTHER, "--set", "phase1.ppo.gamma=0.5").code == 0
    first, second = list_runs(finished.root)
    units = json.loads(finished("runs", "diff", first, second, "--json").out)["units"]
    assert [unit["relation"] for unit in units] == ["shared", *["different"] * 3, *["only A"] * 5]


def test_a_removed_run_gives_its_units_to_gc(two):
    first, second = list_runs(two.root)
    before, other = plan(two), states(two, *OTHER)
    assert two("runs", "rm", first).code == 0
    assert list_runs(two.root) == [second]
    assert states(two) == {unit["unit"]: ("reuse", unit["total_steps"]) for unit in before}, "the record alone is gone"
    dry = json.loads(two("gc", "--age", "0", "--json").out)
    assert {entry["kind"] for entry in dry["garbage"]} == {"unit"}
    assert len(dry["garbage"]) == len(JOINT)
    text = two("gc", "--age", "0").out
    assert "`mtquant gc --apply` removes it" in text
    assert "Removed" in two("gc", "--age", "0", "--apply").out
    assert states(two, *OTHER) == other, "what the other run has is as it was"
    assert {name for name, (state, _) in states(two).items() if state == "run"} == set(JOINT)
    assert "Nothing to do" in two("resume", second).out
    assert "Nothing to remove" in two("gc", "--age", "0", "--apply").out


def test_what_is_young_is_only_named(two):
    two("runs", "rm", list_runs(two.root)[0])
    ended = two("gc", "--apply")
    assert ended.code == 0
    assert ended.out.count(" minutes ago") == len(JOINT)
    assert "Nothing to remove" in ended.out


def test_no_file_of_a_whole_run_is_unknown_to_gc(finished):
    finished("runs", "rm", load_run(finished.root).run_id)
    found = json.loads(finished("gc", "--apply", "--age", "0", "--json").out)
    assert (found["left"], found["applied"], len(found["garbage"])) == ([], True, len(UNITS))
    assert list(finished.root.glob("units/*")) == []


def test_a_run_at_work_or_promoted_is_not_removed(finished):
    record = load_run(finished.root)
    for holding in (begin_lock(finished.root, record.run_id), unit_of_run(finished.root, record, "phase2-meta").lock()):
        unit_of_run(finished.root, record, "phase2-meta").folder.joinpath("DONE.json").unlink(missing_ok=True)
        with holding:
            ended = finished("runs", "rm", record.run_id)
        assert ended.code == 6
        assert "held by pid" in ended.err
    policy = Policy(record.run_id, "phase3", record.units["export-onnx"]["key"], "none", {})
    append_assignment(finished.root, CHAMPION, policy, REGISTERED)
    ended = finished("runs", "rm", record.run_id)
    assert (ended.code, "champion" in ended.err) == (2, True)
    free = create_run(finished.root, [], {}, "direct")
    (run_folder(finished.root, free.run_id) / "notes.txt").write_text("mine")
    ended = finished("runs", "rm", free.run_id)
    assert (ended.code, "holds notes.txt" in ended.err) == (2, True)
    assert list_runs(finished.root) == [record.run_id, free.run_id]
    assert finished("runs", "rm").code == 2, "never the newest by default"
