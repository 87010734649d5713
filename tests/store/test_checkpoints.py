"""Checkpoints: whole or absent; every damage is found; the one before is used."""

import json
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from mtquant.errors import StoreError
from mtquant.store import checkpoints as module
from mtquant.store.checkpoints import Checkpoints, CheckpointWarning
from mtquant.store.digests import digest_file, digest_json
from mtquant.store.journal import Journal
from mtquant.store.snapshot import Snapshot


def snapshot(step: int) -> Snapshot:
    return Snapshot({"w": np.full(300, float(step)), "n": np.array([step])}, {"step": step, "rng": [2**100, "x"]})


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def store(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", tmp_path / "quarantine", Journal(tmp_path / "metrics.jsonl"))


def filled(tmp_path, steps=(10, 20)) -> Checkpoints:
    found = store(tmp_path)
    for step in steps:
        found.journal.append(step, {"a": float(step)})
        found.save(step, snapshot(step), attempt=1, environment={"threads": "1"})
    return found


def test_the_newest_is_returned_whole(tmp_path):
    found = filled(tmp_path).latest()
    assert (found.step, found.environment) == (20, {"threads": "1"})
    assert found.journal_offset == (tmp_path / "metrics.jsonl").stat().st_size
    state = found.load()
    assert state.values == snapshot(20).values
    np.testing.assert_array_equal(state.arrays["w"], snapshot(20).arrays["w"])


def test_there_may_be_none(tmp_path):
    assert store(tmp_path).latest() is None
    assert store(tmp_path).newest_step() is None


def test_the_last_two_are_kept(tmp_path):
    filled(tmp_path, steps=(5, 10, 20, 100))
    assert names(tmp_path / "checkpoints") == ["000000000020", "000000000100"]


def test_the_same_step_can_be_written_again(tmp_path):
    found = filled(tmp_path)
    found.save(20, Snapshot({}, {"again": 1}), attempt=2)
    assert found.latest().load().values == {"again": 1}


@pytest.mark.parametrize("name", ["arrays.safetensors", "values.json", "chain.json", "MANIFEST.json"])
@pytest.mark.parametrize(
    "damage", ["missing", "empty", "short", "longer", "flipped first", "flipped middle", "flipped last"]
)
def test_every_damage_is_found_and_the_one_before_is_used(tmp_path, name, damage):
    found = filled(tmp_path)
    path = tmp_path / "checkpoints" / "000000000020" / name
    content = bytearray(path.read_bytes())
    place = {"flipped first": 0, "flipped middle": len(content) // 2, "flipped last": len(content) - 1}
    if damage in place:
        content[place[damage]] ^= 1
    path.unlink()
    if damage != "missing":
        new = {"empty": b"", "short": bytes(content[:-1]), "longer": bytes(content) + b"0"}.get(damage, bytes(content))
        path.write_bytes(new)
    assert len(found.verify()) == 1
    with pytest.warns(CheckpointWarning, match="moved to"):
        good = found.latest()
    assert good.step == 10
    assert good.load().values["step"] == 10
    assert names(tmp_path / "quarantine") == ["000000000020-1"]
    assert found.latest().step == 10, "the damaged one must be gone for good"


def test_a_stray_file_and_a_renamed_folder_are_damage(tmp_path):
    found = filled(tmp_path)
    (tmp_path / "checkpoints/000000000010").rename(tmp_path / "checkpoints/000000000030")
    (tmp_path / "checkpoints/000000000020/extra").write_text("")
    with pytest.warns(CheckpointWarning):
        assert found.latest() is None


def test_a_checkpoint_that_counts_on_lost_metrics_is_not_used(tmp_path):
    found = filled(tmp_path)
    content = found.journal.path.read_bytes()
    found.journal.path.write_bytes(content[:-5])
    with pytest.warns(CheckpointWarning, match="lost"):
        assert found.latest().step == 10


@pytest.mark.parametrize("place", [0, 10, -2])
def test_a_checkpoint_that_counts_on_changed_metrics_is_not_used(tmp_path, place):
    found = filled(tmp_path)
    content = bytearray(found.journal.path.read_bytes())
    content[place] ^= 1
    found.journal.path.write_bytes(bytes(content))
    with pytest.warns(CheckpointWarning, match="changed"):
        good = found.latest()
    # The journal of step 10 is a beginning of the one of step 20.
    assert (good.step if good else None) == (10 if place == -2 else None)
    assert found.lost() == (0 if good else 2)


@pytest.mark.parametrize("change", ["step", "schema", "other unit"])
def test_a_manifest_that_is_whole_but_wrong_is_damage(tmp_path, change):
    found = filled(tmp_path)
    path = tmp_path / "checkpoints" / "000000000020" / "MANIFEST.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    if change == "other unit":
        (tmp_path / "other").mkdir()
        path.write_bytes((filled(tmp_path / "other", steps=(20,))._path(20) / "MANIFEST.json").read_bytes())
    else:
        manifest[change] += 1
        path.write_text(json.dumps(manifest | {"sha256": digest_json(manifest)}))
    with pytest.warns(CheckpointWarning):
        assert found.latest().step == 10


def test_the_best_by_its_headline_metric_stays(tmp_path):
    found = store(tmp_path)
    for step, reward in ((10, 0.1), (20, 0.7), (30, float("nan")), (40, 0.3), (50, 0.2)):
        found.journal.append(step, {"reward_per_step": reward})
        found.save(step, snapshot(step), 1, metrics={"reward_per_step": reward, "approx_kl": 1.0})
    assert names(tmp_path / "checkpoints") == ["000000000020", "000000000040", "000000000050"]
    assert [checkpoint.metrics["reward_per_step"] for checkpoint in found.retained()] == [0.7, 0.3, 0.2]


def test_that_all_are_lost_is_remembered(tmp_path):
    found = filled(tmp_path)
    assert found.lost() == 0
    for step in (10, 20):
        (found._path(step) / "values.json").unlink()
    with pytest.warns(CheckpointWarning):
        assert found.latest() is None
    assert found.lost() == 2
    found.save(5, snapshot(5), 2)
    assert found.lost() == 0


MALICIOUS = b"cos\nsystem\n(S'touch owned'\ntR."


@pytest.mark.parametrize("name", ["arrays.safetensors", "values.json", "chain.json"])
@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path, monkeypatch, name, kind):
    """Whoever can write the store can also write fitting digests; even then nothing is executed."""
    monkeypatch.chdir(tmp_path)
    found = filled(tmp_path, steps=(20,))
    folder = found._path(20)
    if kind == "pickle":
        (folder / name).write_bytes(MALICIOUS)
    else:
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("data.pkl", MALICIOUS)
            archive.writestr("../../escaped", "x")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest.pop("sha256")
    manifest["files"][name] = {"sha256": digest_file(folder / name), "size": (folder / name).stat().st_size}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest | {"sha256": digest_json(manifest)}))
    checkpoint = found.latest()
    assert checkpoint is not None, "the digests fit"
    with pytest.raises(StoreError, match="cannot be read"):
        (checkpoint.chain if name == "chain.json" else checkpoint.load)()
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path.parent / "escaped").exists()


def test_dead_attempts_leave_nothing(tmp_path):
    found = filled(tmp_path)
    dead = tmp_path / "checkpoints/.tmp-000000000030-1"
    dead.mkdir()
    (dead / "arrays.safetensors").write_bytes(b"half")
    assert found.latest().step == 20
    found.clear_temporary()
    assert not dead.exists()


DIE = """
import os, sys
from pathlib import Path
import numpy as np
from mtquant.store import checkpoints
from mtquant.store.checkpoints import Checkpoints
from mtquant.store.journal import Journal
from mtquant.store.snapshot import Snapshot
root, seam, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0
def dying(real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), 9)
        return real(*args, **kwargs)
    return call
if seam == "rename":
    Path.rename = dying(Path.rename)
else:
    setattr(checkpoints, seam, dying(getattr(checkpoints, seam)))
    from mtquant.store import chain, snapshot
    for module in (chain, snapshot):
        if hasattr(module, seam):
            setattr(module, seam, getattr(checkpoints, seam))
store = Checkpoints(root / "checkpoints", root / "quarantine", Journal(root / "metrics.jsonl"))
store.save(30, Snapshot({"w": np.zeros(3)}, {"step": 30}), 2)
"""
SEAMS = [
    ("write_durable", 1),
    ("write_durable", 2),
    ("write_durable", 3),
    ("write_durable", 4),
    ("digest_file", 1),
    ("rename", 1),
    ("sync_folder", 1),
    ("sync_folder", 2),
    ("remove_tree", 2),
]


@pytest.mark.parametrize(("seam", "count"), SEAMS)
def test_kill_at_any_point_leaves_a_whole_checkpoint(tmp_path, seam, count):
    found = filled(tmp_path)
    done = subprocess.run([sys.executable, "-c", DIE, str(tmp_path), seam, str(count)], check=False)
    assert done.returncode == -9
    latest = found.latest()
    renamed = (seam, count) == ("sync_folder", 2)
    assert latest.step == latest.load().values["step"] == (30 if renamed else 20)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path):
    found = filled(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StoreError, match=r"arrays.safetensors.*exhausted.*mtquant gc.*mtquant resume"):
            found.save(30, Snapshot({"w": np.zeros(100_000)}, {}), attempt=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path / "checkpoints") == ["000000000010", "000000000020"]
    assert found.latest().step == 20
    found.save(30, snapshot(30), attempt=1)
    assert found.latest().step == 30


def test_the_manifest_says_what_wrote_it(tmp_path):
    path = filled(tmp_path)._path(20) / module.MANIFEST
    manifest = json.loads(path.read_text())
    assert manifest["attempt"] == 1
    assert set(manifest["files"]) == {"arrays.safetensors", "chain.json", "values.json"}
