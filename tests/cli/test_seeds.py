"""`train --seeds`: one run a seed, what is shared is reused, one table in the end."""

import json

import pytest

from mtquant.store.runs import list_runs, load_run
from tests.cli.conftest import SMALL


def test_every_seed_is_a_run_of_its_own(finished):
    ended = finished("train", *SMALL, "--seeds", "3", "--json")
    assert ended.code == 0, ended.err
    last = json.loads(ended.out.splitlines()[-1])
    assert last["event"] == "seeds"
    assert [run["seed"] for run in last["runs"]] == [0, 1, 2]
    assert [run["run"] for run in last["runs"]] == list_runs(finished.root)
    records = [load_run(finished.root, run["run"]) for run in last["runs"]]
    assert len({record.units["phase1-forex"]["key"] for record in records}) == 3
    row = next(r for r in last["metrics"] if (r["unit"], r["metric"]) == ("evaluate-report", "utility"))
    assert row["values"] == [0.5, 0.5, 0.5]
    assert row["low"] == row["value"] == row["high"] == 0.5


def test_people_get_a_table(finished):
    ended = finished("train", *SMALL, "--seeds", "2")
    assert ended.code == 0, ended.err
    head = next(line for line in ended.out.splitlines() if "interquartile mean" in line)
    assert "seed 0" in head and "seed 1" in head
    again = finished("train", *SMALL, "--seeds", "2")
    assert again.out.count("Nothing to do") == 2
    assert len(list_runs(finished.root)) == 2


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_seed_is_refused(cli, count):
    assert cli("train", *SMALL, "--seeds", count).code == 2
