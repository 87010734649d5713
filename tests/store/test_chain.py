"""The hash chain: equal histories have equal heads, any other state shows where it differs."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.errors import StoreError
from mtquant.store.chain import CHAIN, ORIGIN, START, Chain, ChainSlice, different_part
from mtquant.store.snapshot import Snapshot


def state(number: float, name: str = "w") -> Snapshot:
    return Snapshot({name: np.full(3, number), "b": np.zeros(2)}, {"rng": [number, float("nan")]})


def chained(numbers, cuts=()) -> tuple[Chain, list[ChainSlice]]:
    """Return the chain over states, cut into slices after the steps `cuts`."""
    chain, slices = Chain(), []
    for step, number in enumerate(numbers, start=1):
        chain.add(step, state(number))
        if step in cuts:
            slices.append(chain.slice())
            chain.restart(step)
    return chain, slices


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.sets(st.integers(1, 8)))
def test_the_head_tells_the_history_and_not_where_checkpoints_were(numbers, cuts):
    assert chained(numbers, cuts)[0].head == chained(numbers)[0].head
    for place in range(len(numbers)):
        other = [*numbers[:place], numbers[place] + 1, *numbers[place + 1 :]]
        assert chained(other)[0].head != chained(numbers)[0].head


def test_slices_join_and_come_back_from_disk(tmp_path):
    chain, slices = chained([1, 2, 3, 4, 5], cuts=(2, 4))
    assert [(s.step, [link.step for link in s.links]) for s in slices] == [(0, [1, 2]), (2, [3, 4])]
    assert (slices[0].head, slices[1].head) == (ORIGIN, slices[0].end)
    resumed = Chain(4, slices[1].end)
    resumed.add(5, state(5))
    assert resumed.head == chain.head
    slices[1].write(tmp_path)
    assert ChainSlice.read(tmp_path) == slices[1]
    START.write(tmp_path)
    assert ChainSlice.read(tmp_path) == START


def test_names_are_written_when_they_change(tmp_path):
    chain = Chain()
    chain.add(1, state(1))
    chain.add(2, state(2))
    chain.add(3, state(3, "moments"))
    chain.slice().write(tmp_path)
    rows = json.loads((tmp_path / CHAIN).read_text())["links"]
    assert ["names" in row for row in rows] == [True, False, True]
    assert ChainSlice.read(tmp_path) == chain.slice()


def test_the_first_part_that_differs_is_named():
    one, two = Chain(), Chain()
    a = one.add(1, state(1.0))
    assert different_part(a, two.add(1, state(1.0))) is None
    later = one.add(2, state(1.0))
    changed = Snapshot({"w": np.array([1.0, 1.0, np.nextafter(1.0, 2.0)]), "b": np.zeros(2)}, state(1.0).values)
    assert different_part(later, two.add(2, changed)) == "w"
    assert different_part(one.add(3, state(1.0)), two.add(3, state(1.0))) == "earlier updates"
    assert different_part(one.add(4, state(1.0)), two.add(4, state(1.0, "v"))) == "v"


@pytest.mark.parametrize("damage", ["head", "part", "missing link", "no json", "another type"])
def test_what_is_no_chain_is_refused(tmp_path, damage):
    chained([1, 2, 3])[0].slice().write(tmp_path)
    path = tmp_path / CHAIN
    found = json.loads(path.read_text())
    if damage == "head":
        found["links"][1]["head"] = ORIGIN
    if damage == "part":
        found["links"][0]["parts"][0] = "0" * 16
    if damage == "missing link":
        del found["links"][1]
    path.write_text({"no json": "{", "another type": "[1]"}.get(damage, json.dumps(found)))
    with pytest.raises(StoreError, match=r"chain\.json"):
        ChainSlice.read(tmp_path)
