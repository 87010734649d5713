"""A bundle comes back as it was saved, and nothing altered, torn or executable is taken for one."""

import json
import pickle  # noqa: TID251 - to show that it is refused
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mtquant.agents.bundle import DESCRIPTION, WEIGHTS, PolicyBundle
from mtquant.context import Streams
from mtquant.envs.games.joint import META
from mtquant.errors import StoreError
from tests.agents.made import bundle_of, learning_spec
from tests.tiny import tiny_dataset


@pytest.fixture(params=[META, "forex"])
def bundle(request):
    return bundle_of(request.param, tiny_dataset(), learning_spec())


def test_round_trip(bundle, tmp_path):
    digest = bundle.save(tmp_path / "b")
    again = PolicyBundle.load(tmp_path / "b")
    seen = Streams(0).rng("x").standard_normal((20, bundle.layout.width)).astype(np.float32)
    np.testing.assert_array_equal(again.actor.act(seen), bundle.actor.act(seen))
    assert again.digest == digest == bundle.digest
    for name in PolicyBundle.__dataclass_fields__:
        if name != "policy":
            assert getattr(again, name) == getattr(bundle, name), name
    assert not again.policy.training


def test_the_same_bundle_is_the_same_bytes(bundle, tmp_path):
    for folder in ("a", "b"):
        bundle.save(tmp_path / folder)
    for name in (WEIGHTS, DESCRIPTION):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_altered_weights_are_refused(bundle, tmp_path):
    bundle.save(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    name = next(n for n in sorted(tensors) if "weight" in n)
    tensors[name] = tensors[name] + np.float32(1e-6)
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(StoreError, match="they were altered"):
        PolicyBundle.load(tmp_path)


@pytest.mark.parametrize("key", ["clip", "actions", "layout", "instruments", "per_instrument", "provenance", "agent"])
def test_an_altered_description_is_refused(bundle, tmp_path, key):
    bundle.save(tmp_path)
    page = json.loads((tmp_path / DESCRIPTION).read_text())
    replaced = {"clip": 5.0, "actions": {"size": 1, "low": -2.0, "high": 2.0}, "layout": [["x", 3]]}
    page[key] = replaced.get(key, "changed")
    (tmp_path / DESCRIPTION).write_text(json.dumps(page))
    with pytest.raises(StoreError, match="altered"):
        PolicyBundle.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"agent": "forex"}'])
def test_a_torn_description_is_refused(bundle, tmp_path, content):
    bundle.save(tmp_path)
    (tmp_path / DESCRIPTION).write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        PolicyBundle.load(tmp_path)


def test_torn_missing_or_foreign_weights_are_refused(bundle, tmp_path):
    bundle.save(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    other = bundle_of("equity" if bundle.agent == META else META, tiny_dataset(), learning_spec())
    other.save(tmp_path / "other")
    for content in (whole[: len(whole) // 2], b"", (tmp_path / "other" / WEIGHTS).read_bytes()):
        (tmp_path / WEIGHTS).write_bytes(content)
        with pytest.raises(StoreError, match="Train its unit again"):
            PolicyBundle.load(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        PolicyBundle.load(tmp_path)
    with pytest.raises(StoreError, match="cannot be read"):
        PolicyBundle.load(tmp_path / "nowhere")


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_refused_and_not_executed(bundle, tmp_path):
    bundle.save(tmp_path / "b")
    sprung = tmp_path / "sprung"
    for name in (WEIGHTS, DESCRIPTION):
        shutil.copytree(tmp_path / "b", tmp_path / name)
        (tmp_path / name / name).write_bytes(pickle.dumps(Trap(sprung)))
        with pytest.raises(StoreError):
            PolicyBundle.load(tmp_path / name)
    assert not sprung.exists()
