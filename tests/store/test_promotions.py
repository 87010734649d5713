"""The record of aliases is append-only, durable, and refuses to speak when it was altered."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mtquant.errors import StoreError
from mtquant.store.promotions import (
    CHALLENGER,
    CHAMPION,
    MET,
    PROMOTIONS,
    REGISTERED,
    ROLLBACK,
    Policy,
    append_assignment,
    changing,
    holder_of_alias,
    read_assignments,
    standing,
)

ONE = Policy("run-1", "phase3", "e" * 64, "r" * 64, {"phase3-hierarchy.onnx": "a" * 64})
TWO = replace(ONE, run_id="run-2", outputs={"phase3-hierarchy.onnx": "b" * 64})


def test_what_was_appended_is_read_back(tmp_path):
    assert read_assignments(tmp_path) == []
    made = append_assignment(tmp_path, CHAMPION, ONE, MET, figures={"gain": {"low": 0.01}}, reason="first")
    assert read_assignments(tmp_path) == [made]
    assert (made.number, made.policy, made.figures) == (1, ONE, {"gain": {"low": 0.01}})
    assert "@" in made.by


def test_aliases_move_apart(tmp_path):
    append_assignment(tmp_path, CHALLENGER, ONE, REGISTERED)
    append_assignment(tmp_path, CHAMPION, ONE, MET)
    append_assignment(tmp_path, CHALLENGER, TWO, REGISTERED)
    found = read_assignments(tmp_path)
    assert [entry.number for entry in found] == [1, 2, 3]
    assert holder_of_alias(found, CHALLENGER).policy == TWO
    assert holder_of_alias(found, CHAMPION).policy == ONE


def test_rollbacks_go_back_one_by_one(tmp_path):
    three = replace(TWO, run_id="run-3")
    for policy in (ONE, TWO, three):
        append_assignment(tmp_path, CHAMPION, policy, MET)
    append_assignment(tmp_path, CHAMPION, TWO, ROLLBACK, rollback_of=3)
    assert holder_of_alias(read_assignments(tmp_path), CHAMPION).policy == TWO
    append_assignment(tmp_path, CHAMPION, ONE, ROLLBACK, rollback_of=2)
    assert [entry.policy for entry in standing(read_assignments(tmp_path), CHAMPION)] == [ONE]
    append_assignment(tmp_path, CHAMPION, three, MET)
    assert [entry.policy.run_id for entry in standing(read_assignments(tmp_path), CHAMPION)] == ["run-1", "run-3"]


def test_the_digest_is_of_what_deploys_not_of_the_run():
    assert ONE.digest == replace(ONE, run_id="run-9", export="f" * 64).digest
    assert ONE.digest != replace(ONE, stage="phase2").digest
    assert ONE.digest != TWO.digest


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_that_a_crash_tore_was_never_said(tmp_path, kept):
    append_assignment(tmp_path, CHAMPION, ONE, MET)
    path = tmp_path / PROMOTIONS
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    assert len(read_assignments(tmp_path)) == 1
    append_assignment(tmp_path, CHAMPION, TWO, MET)
    assert [entry.policy for entry in read_assignments(tmp_path)] == [ONE, TWO]


def alter(line):
    return {**line, "alias": "challenger"}


def renumber(line):
    return {**line, "number": 7}


def forget(line):
    return {name: value for name, value in line.items() if name != "policy"}


@pytest.mark.parametrize("change", [alter, renumber, forget, lambda line: [line], lambda line: "nothing"])
def test_an_altered_line_is_refused_by_number(tmp_path, change):
    for policy in (ONE, TWO):
        append_assignment(tmp_path, CHAMPION, policy, MET)
    path = tmp_path / PROMOTIONS
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(change(json.loads(second)))}\n")
    with pytest.raises(StoreError, match="Line 2 of .* is damaged"):
        read_assignments(tmp_path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="damaged"):
        append_assignment(tmp_path, CHAMPION, ONE, MET)
    assert path.read_bytes() == before


def test_a_missing_line_is_noticed(tmp_path):
    for policy in (ONE, TWO):
        append_assignment(tmp_path, CHAMPION, policy, MET)
    path = tmp_path / PROMOTIONS
    path.write_text(path.read_text().splitlines()[1] + "\n")
    with pytest.raises(StoreError, match="Line 1"):
        read_assignments(tmp_path)


APPENDING = """
import sys
from pathlib import Path
from mtquant.store.promotions import *
root = Path(sys.argv[1])
for _ in range(20):
    with changing(root):
        append_assignment(root, "challenger", Policy(sys.argv[2], "phase2", "", "", {}), "registered")
"""


def test_processes_take_turns(tmp_path):
    command = [sys.executable, "-c", APPENDING, str(tmp_path)]
    place = Path(__file__).parents[2]
    writers = [subprocess.Popen([*command, name], cwd=place) for name in ("a", "b", "c")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    found = read_assignments(tmp_path)
    assert [entry.number for entry in found] == list(range(1, 61))
    assert {entry.policy.run_id for entry in found} == {"a", "b", "c"}


def test_the_store_is_made_where_it_is_missing(tmp_path):
    with changing(tmp_path / "new"):
        append_assignment(tmp_path / "new", CHAMPION, ONE, MET)
    assert len(read_assignments(tmp_path / "new")) == 1
