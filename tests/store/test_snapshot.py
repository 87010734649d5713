"""Snapshots come back bit for bit, whatever their arrays look like."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtquant.errors import StoreError
from mtquant.store.snapshot import Snapshot

DTYPES = st.sampled_from(["<f8", ">f8", "<f4", "<i8", "<u8", "<i4", "u1", "?", "<f2"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.dictionaries(st.text("ab./_0", min_size=1, max_size=6), hnp.arrays(DTYPES, SHAPES), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@IN_FOLDER
@given(ARRAYS, st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_what_is_read_equals_what_was_written(tmp_path, arrays, values):
    Snapshot(arrays, values).write(tmp_path)
    found = Snapshot.read(tmp_path)
    assert found.values == values
    assert found.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        back = found.arrays[name]
        assert back.shape == array.shape
        assert back.dtype == array.dtype.newbyteorder("=")
        assert back.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_other_memory_layouts_are_not_scrambled(tmp_path):
    array = np.arange(24.0).reshape(2, 3, 4)
    views = {
        "t": array.T,
        "step": array[:, ::2],
        "back": array[::-1],
        "f": np.asfortranarray(array),
        "scalar": array[0, 0, 1],
    }
    Snapshot(views, {}).write(tmp_path)
    for name, back in Snapshot.read(tmp_path).arrays.items():
        np.testing.assert_array_equal(back, views[name])


def test_the_state_of_a_generator_comes_back(tmp_path):
    rng = np.random.Generator(np.random.PCG64(5))
    Snapshot({}, {"rng": rng.bit_generator.state, "best": float("-inf")}).write(tmp_path)
    other = np.random.Generator(np.random.PCG64(0))
    other.bit_generator.state = Snapshot.read(tmp_path).values["rng"]
    assert Snapshot.read(tmp_path).values["best"] == float("-inf")
    np.testing.assert_array_equal(other.normal(size=5), rng.normal(size=5))


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"a": (1, 2)}, "values.a"),
        ({"a": [{1: 2}]}, r"values.a\[0\]"),
        ({"n": np.int64(3)}, "values.n"),
        ({"s": {1}}, "values.s"),
    ],
)
def test_values_that_json_would_change_are_refused(tmp_path, values, where):
    with pytest.raises(TypeError, match=where):
        Snapshot({}, values).write(tmp_path)


@pytest.mark.parametrize("array", [np.array(["x"]), np.array([None]), np.array([1 + 2j]), np.array(["2020"], "M8[D]")])
def test_arrays_that_the_file_cannot_hold_are_refused(tmp_path, array):
    with pytest.raises(TypeError, match="`x` has dtype"):
        Snapshot({"x": array}, {}).write(tmp_path)


@pytest.mark.parametrize("name", ["arrays.safetensors", "values.json"])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_broken_file_is_reported(tmp_path, name, damage):
    Snapshot({"x": np.ones(3)}, {"a": 1}).write(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage == "short":
        (tmp_path / name).write_bytes(content[:-2])
    with pytest.raises(StoreError, match=name if damage == "missing" else "cannot be read"):
        Snapshot.read(tmp_path)
