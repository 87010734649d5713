"""Digests: stable where content is the same, different where it is not."""

import json
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.errors import StoreError
from mtquant.store.digests import (
    canonical_json,
    code_digest,
    code_versions,
    digest_arrays,
    digest_file,
    digest_json,
    source_digest,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé0"\\\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=3), inner, max_size=3),
    max_leaves=10,
)


def shuffled(value, order):
    if isinstance(value, dict):
        names = sorted(value, reverse=order)
        return {name: shuffled(value[name], order) for name in names}
    return [shuffled(entry, order) for entry in value] if isinstance(value, list) else value


@given(JSON)
def test_canonical_json_does_not_depend_on_key_order_and_comes_back(value):
    text = canonical_json(value)
    assert text == canonical_json(shuffled(value, True)) == canonical_json(shuffled(value, False))
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_is_fixed_for_all_time():
    value = {"b": [1, 2.5, True, None], "a": {"é": "x"}}
    assert canonical_json(value) == '{"a":{"é":"x"},"b":[1,2.5,true,null]}'.encode()
    assert digest_json({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": value})


ARRAYS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    hnp.arrays(
        st.sampled_from(["<f8", "<f4", "<i8", "|b1"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    ),
    min_size=1,
    max_size=3,
)


@given(ARRAYS)
def test_array_digest_ignores_layout_and_order_of_names(arrays):
    expected = digest_arrays(arrays)
    assert digest_arrays(dict(reversed(arrays.items()))) == expected
    assert digest_arrays({name: np.array(array, order="F") for name, array in arrays.items()}) == expected
    assert (
        digest_arrays({name: array.astype(array.dtype.newbyteorder(">")) for name, array in arrays.items()}) == expected
    )


@given(ARRAYS, st.data())
def test_array_digest_sees_names_shapes_dtypes_and_bits(arrays, data):
    expected = digest_arrays(arrays)
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    assert digest_arrays(arrays | {name: array[None]}) != expected
    assert digest_arrays(arrays | {name: np.zeros(array.shape, "<i4")}) != expected
    rest = {other: value for other, value in arrays.items() if other != name}
    assert digest_arrays(rest) != expected
    assert digest_arrays(rest | {name + "d": array}) != expected
    if array.size:
        raw = bytearray(array.tobytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1
        assert digest_arrays(arrays | {name: np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)}) != expected


def test_names_cannot_run_into_contents():
    a, b = np.array([1, 2]), np.array([1])
    assert digest_arrays({"x": a, "y": b}) != digest_arrays({"x": b, "y": a})


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert digest_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def package(root: Path, source: str, readme: str = "") -> str:
    folder = root / "pack" / "inner"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(source)
    (folder / "README.md").write_text(readme)
    return source_digest(root, "pack.inner")


SOURCE = 'class A:\n    """Doc."""\n    x: int = 1\n    """Doc."""\n\ndef f():\n    return A.x\n'


def test_only_what_runs_counts_as_code(tmp_path):
    same = [
        package(tmp_path / "1", SOURCE),
        package(tmp_path / "2", SOURCE, readme="changed"),
        package(tmp_path / "3", SOURCE.replace("Doc", "Other words") + "\n\n# a comment\n"),
    ]
    assert len(set(same)) == 1
    assert package(tmp_path / "4", SOURCE.replace("= 1", "= 2")) != same[0]


def test_a_new_file_and_a_renamed_file_change_the_code(tmp_path):
    before = package(tmp_path / "1", SOURCE)
    package(tmp_path / "2", SOURCE)
    (tmp_path / "2/pack/inner/b.py").write_text("")
    package(tmp_path / "3", SOURCE)
    (tmp_path / "3/pack/inner/a.py").rename(tmp_path / "3/pack/inner/c.py")
    assert len({before, source_digest(tmp_path / "2", "pack.inner"), source_digest(tmp_path / "3", "pack.inner")}) == 3


def test_code_digest_names_packages_modules_and_libraries():
    parts = code_versions(["mtquant.store", "mtquant.context"])
    assert {"mtquant.store", "mtquant.context", "torch", "numpy", "python"} <= set(parts)
    assert parts["numpy"] == np.__version__
    assert code_digest(["mtquant.store"]) != code_digest(["mtquant.context"])
    with pytest.raises(StoreError, match="no source of `mtquant.nowhere`"):
        code_versions(["mtquant.nowhere"])
