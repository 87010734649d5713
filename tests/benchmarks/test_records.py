"""What benchmarks print and write."""

import json
import math

from benchmarks.records import Figure, Section, machine_words, write_figures

FAST = Figure("simulator", (3.0, 1.0, 2.0), "row-steps/s", 1.5, {"rows": 8})
SLOW = Figure("ppo-ratio", (1.0,), "times", 1.5)
FREE = Figure("time", (math.inf,), "s")
SECTION = Section(
    "Title", ("what", "number"), (("first", 12_345.6), ("second", math.inf)), (FAST, SLOW, FREE), "A note."
)


def test_the_file_is_a_list_of_figures(tmp_path):
    path = tmp_path / "new" / "bench.json"
    write_figures([SECTION, SECTION], path)
    entries = json.loads(path.read_text())
    assert len(entries) == 6
    fast, slow, free = entries[:3]
    assert (fast["bench"], fast["value"], fast["interval"], fast["passed"]) == ("simulator", 2.0, [1.0, 3.0], True)
    assert fast["setting"] == {"rows": 8}
    assert slow["passed"] is False
    assert (free["value"], free["passed"], free["threshold"]) == (None, None, None)
    assert all(entry["machine"] == machine_words() for entry in entries)


def test_the_table_is_aligned():
    title, head, first, second, note = SECTION.text().splitlines()
    assert (title, note) == ("## Title", "A note.")
    assert first.split() == ["first", "12,346"]
    assert second.split() == ["second", "-"]
    assert len(head) == len(first) == len(second)
