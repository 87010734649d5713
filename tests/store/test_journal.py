"""The journal: append, tear, truncate, continue."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtquant.errors import StoreError
from mtquant.store.journal import Journal

METRICS = st.dictionaries(st.text(max_size=4), st.floats(), max_size=3)
IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def same(a: dict[str, float], b: dict[str, float]) -> bool:
    return a.keys() == b.keys() and all(a[k] == b[k] or (math.isnan(a[k]) and math.isnan(b[k])) for k in a)


def fresh(tmp_path) -> Journal:
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.path.unlink(missing_ok=True)
    return journal


@IN_FOLDER
@given(st.lists(METRICS, max_size=5))
def test_lines_come_back_in_order_and_are_standard_json(tmp_path, lines):
    journal = fresh(tmp_path)
    for step, metrics in enumerate(lines):
        journal.append(step, metrics)
    found = journal.read()
    assert [line.step for line in found] == list(range(len(lines)))
    assert all(same(line.metrics, metrics) for line, metrics in zip(found, lines, strict=True))
    if lines:
        assert same(journal.last().metrics, lines[-1])

        def refuse(name):
            raise AssertionError(name)

        for text in journal.path.read_text().splitlines():
            json.loads(text, parse_constant=refuse)


@IN_FOLDER
@given(st.lists(METRICS, min_size=1, max_size=4), st.data())
def test_a_torn_last_line_is_not_there(tmp_path, lines, data):
    journal = fresh(tmp_path)
    for step, metrics in enumerate(lines):
        journal.append(step, metrics, wall=0.0)
    content = journal.path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    journal.path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert [line.step for line in journal.read()] == list(range(whole))
    last = journal.last()
    assert (last.step if last else -1) == whole - 1


def test_truncation_forgets_later_lines_and_appending_goes_on(tmp_path):
    journal = fresh(tmp_path)
    journal.append(1, {"a": 1.0})
    offset = journal.sync()
    journal.append(2, {"a": 2.0})
    with journal.path.open("ab") as file:
        file.write(b'{"torn')
    journal.truncate_to(offset)
    assert journal.offset == offset
    journal.append(2, {"a": 3.0})
    assert [(line.step, line.metrics["a"]) for line in journal.read()] == [(1, 1.0), (2, 3.0)]


def test_tailing_reads_each_line_once(tmp_path):
    journal = fresh(tmp_path)
    journal.append(1, {})
    first, offset = journal.read_from(0)
    journal.append(2, {})
    with journal.path.open("ab") as file:
        file.write(b'{"torn')
    second, end = journal.read_from(offset)
    assert [line.step for line in first + second] == [1, 2]
    assert journal.read_from(end) == ([], end)


def test_a_missing_journal_is_empty_and_a_lost_one_is_an_error(tmp_path):
    journal = fresh(tmp_path)
    assert journal.read() == []
    assert journal.last() is None
    journal.truncate_to(0)
    with pytest.raises(StoreError, match="lines were lost"):
        journal.truncate_to(5)


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path):
    journal = fresh(tmp_path)
    journal.path.write_bytes(b'{"step":1}\nrubbish\n')
    with pytest.raises(StoreError, match="no metric"):
        journal.read()
