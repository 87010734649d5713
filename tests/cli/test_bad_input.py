"""Every command says what is wrong and ends with the documented code, whatever it is given."""

import json
import shutil

import pytest

from mtquant.store.runs import EVENTS, list_runs, load_run, run_folder, unit_of_run
from tests.cli.conftest import PLAN, SMALL

READING = (["status"], ["logs"], ["runs", "show"], ["evaluate"], ["export"], ["resume"], ["stop"], ["sync"])
ASKING = (*READING, ["runs", "rm"], ["status", "--watch"])


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_an_unknown_run(finished, command):
    ended = finished(*command, "1999")
    assert ended.code == 2
    assert "The run `1999` is not known in" in ended.err
    assert load_run(finished.root).run_id in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--phase", "4"],
        ["train", "--workers", "0"],
        ["resume", "--from", "9"],
        ["logs", "RUN", "phase1-fore"],
        ["stop", "--timeout", "-1"],
        ["gc", "--age", "-1"],
        ["gc", "RUN"],
        ["evaluate", "--split", "tset"],
        ["evaluate", "--episodes", "0"],
        ["runs", "diff", "RUN"],
        ["runs", "rm"],
        ["status", "--nonsense"],
        ["nonsense"],
        ["init", "a-file"],
    ],
    ids=" ".join,
)
def test_arguments_that_do_not_fit(finished, arguments):
    (finished.root.parent / "a-file").touch()
    before = list_runs(finished.root)
    run = load_run(finished.root).run_id
    ended = finished(*(run if word == "RUN" else word for word in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    assert list_runs(finished.root) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train", "--config", "missing.yaml"], 3),
        (["train", "--profile", "nonsense"], 3),
        (["train", "--set", "nonsense=1"], 3),
        (["plan", "--set", "phase1.timesteps=-5"], 3),
        (["train", "--data", "nowhere"], 4),
        (["import", "nowhere", "--out", "bars"], 4),
        (["init", "mine", "--data", "nowhere"], 4),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else str(part),
)
def test_settings_and_bars_that_are_wrong(cli, arguments, code):
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("error: ")
    assert list_runs(cli.root) == []


@pytest.mark.parametrize(
    "command",
    [*READING, ["runs", "list"], ["runs", "diff", "a", "b"], ["gc"], ["gc", "--apply"], ["plan", *PLAN]],
    ids=str,
)
def test_a_store_that_is_a_file(cli, command, monkeypatch):
    shutil.rmtree(cli.root)
    cli.root.write_text("not a folder")
    ended = cli(*command)
    assert (ended.code, "is no folder. Move it, or set MTQUANT_STORE" in ended.err) == (9, True)
    assert cli("train", *SMALL).code == 9
    assert cli.root.read_text() == "not a folder"


@pytest.mark.parametrize("content", ["{", "[]", "5", '{"run_id": "other"}', "UNITS", "NAME"])
def test_a_damaged_record(finished, content):
    path = run_folder(finished.root, load_run(finished.root).run_id) / "run.json"
    whole = json.loads(path.read_bytes())
    broken = {"UNITS": whole | {"units": {"phase1-forex": {}}}, "NAME": whole | {"run_id": "other"}}
    path.write_text(json.dumps(broken[content]) if content in broken else content)
    for command in ASKING:
        if command != ["runs", "rm"]:
            ended = finished(*command, path.parent.name)
            assert (command, ended.code) == (command, 9 if command != ["sync"] else ended.code)
            assert "is damaged" in ended.err
    assert finished("runs", "list").code == 0
    assert finished("gc", "--age", "0").code == 0
    assert f"mtquant runs rm {path.parent.name}" in finished("status").err
    assert finished("runs", "rm", path.parent.name).code == 0
    assert list_runs(finished.root) == []


@pytest.mark.parametrize("name", ["DONE.json", "spec.json", "metrics.jsonl"])
def test_a_damaged_unit(finished, name):
    record = load_run(finished.root)
    folder = unit_of_run(finished.root, record, "phase2-meta").folder
    (folder / name).write_text("{\n")
    ended = finished("status")
    assert ended.code == 0
    if name != "metrics.jsonl":
        assert f"run {record.run_id}: failed" in ended.out
        assert f"{folder / name}" in ended.out.replace("\n", "").replace(" ", "").replace("│", "") or name in ended.out
    assert finished("runs", "show").code == 0
    assert finished("logs").code == 0
    assert finished("gc", "--apply", "--age", "0").code == 0
    assert finished("stop").code == 0
    ended = finished("resume")
    if name == "spec.json":
        # The description is what a unit is: it is not guessed, and nothing is removed on its own.
        assert (ended.code, "delete the folder" in ended.err) == (9, True)
        shutil.rmtree(folder)
        ended = finished("resume")
    assert ended.code == 0, ended.err
    assert {unit["state"] for unit in json.loads(finished("status", "--json").out)["units"]} == {"done"}


def test_damaged_events_hide_nothing(finished):
    path = run_folder(finished.root, load_run(finished.root).run_id) / EVENTS
    path.write_bytes(b'5\n[]\n"x"\n{"event"\n\xff\xfe\n' + path.read_bytes())
    assert "done" in finished("status").out
    assert json.loads(finished("runs", "list", "--json").out)[0]["profile"] == "smoke"
    assert finished("stop").code == 0
