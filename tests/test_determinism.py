"""The same seed gives the same weights; stopped anywhere and resumed gives them too, bit for bit."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.phase1_trainer import Phase1Trainer
from mtquant.agents.training.phase2_trainer import Phase2Trainer
from mtquant.agents.training.phase3_joint_training import Phase3JointTrainer
from mtquant.errors import Preempted
from mtquant.store.units import UnitHandle
from tests.agents.made import META, Stop, bundles_of, handle_of, journal_of, learning_spec, saved
from tests.tiny import tiny_dataset

Train = Callable[[UnitHandle, Path], Mapping[str, float]]


def phase1(handle: UnitHandle, _: Path) -> Mapping[str, float]:
    return Phase1Trainer(learning_spec(), tiny_dataset(), lambda _: handle).train_specialist("forex")


def phase2(handle: UnitHandle, pretrained: Path) -> Mapping[str, float]:
    spec, dataset = learning_spec(), tiny_dataset()
    folders = saved({a: b for a, b in bundles_of(dataset, spec).items() if a != META}, pretrained)
    return Phase2Trainer(spec, dataset, handle, folders).train()


def joint_with(**changes: object) -> Train:
    def train(handle: UnitHandle, pretrained: Path) -> Mapping[str, float]:
        spec, dataset = learning_spec(phase3=changes), tiny_dataset()
        trainer = Phase3JointTrainer(spec, dataset, handle, saved(bundles_of(dataset, spec), pretrained))
        return {**trainer.train(), **trainer.evaluate(8)}

    return train


TRAIN: dict[str, Train] = {
    "phase1-forex": phase1,
    "phase2-meta": phase2,
    "phase3-joint": joint_with(),
    "phase3-blind": joint_with(peers=False, credit="shared", gradient_coordination=False),
    "phase3-upgrad": joint_with(aggregator={"name": "upgrad"}, adaptive_learning_rates=True),
}
BOUNDARIES = [1, 2, 3]
"""Every phase takes four rollouts; after the last nothing is left to resume."""


def outcome(handle: UnitHandle) -> tuple[dict[str, str], list]:
    folders = sorted(path.parent for path in handle.outputs.glob("*/bundle.json"))
    return {folder.name: PolicyBundle.load(folder).digest for folder in folders}, journal_of(handle)


def uninterrupted(name: str, root: Path, seed: int = 0) -> tuple[dict[str, str], list, Mapping[str, float]]:
    handle = handle_of(root, name, seed, checkpoint_seconds=1e9)
    metrics = TRAIN[name](handle, root / "pretrained")
    return *outcome(handle), metrics


def stopped(name: str, root: Path, at: int) -> None:
    with pytest.raises(Preempted, match="checkpoint was written"):
        TRAIN[name](handle_of(root, name, stop=Stop(at)), root / "pretrained")


@pytest.mark.parametrize("name", ["phase1-forex", "phase2-meta", "phase3-joint"])
def test_training_twice_gives_the_same_weights_and_journal(name, tmp_path):
    first = uninterrupted(name, tmp_path / "a")
    assert first == uninterrupted(name, tmp_path / "b")
    other = uninterrupted(name, tmp_path / "c", seed=1)
    assert all(other[0][agent] != digest for agent, digest in first[0].items())


@pytest.mark.parametrize("name", TRAIN)
def test_stopped_and_resumed_is_the_uninterrupted_run(name, tmp_path):
    weights, journal, metrics = uninterrupted(name, tmp_path / "whole")
    assert len(journal) == 4
    for at in BOUNDARIES:
        root = tmp_path / str(at)
        stopped(name, root, at)
        resumed = handle_of(root, name)
        assert resumed.attempt == 2
        assert TRAIN[name](resumed, root / "pretrained") == metrics
        assert outcome(resumed) == (weights, journal)


@pytest.mark.parametrize("name", ["phase1-forex", "phase2-meta", "phase3-joint"])
def test_stopped_at_every_boundary(name, tmp_path):
    weights, journal, metrics = uninterrupted(name, tmp_path / "whole")
    root = tmp_path / "often"
    for _ in BOUNDARIES:
        stopped(name, root, 1)
    last = handle_of(root, name)
    assert TRAIN[name](last, root / "pretrained") == metrics
    assert last.attempt == 4
    assert outcome(last) == (weights, journal)


def test_a_damaged_checkpoint_costs_one_rollout_and_no_bit(tmp_path):
    weights, journal, _ = uninterrupted("phase1-forex", tmp_path / "whole")
    root = tmp_path / "torn"
    stopped("phase1-forex", root, 3)
    newest = sorted((handle_of(root).folder / "checkpoints").iterdir())[-1]
    content = (newest / "arrays.safetensors").read_bytes()
    (newest / "arrays.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.warns(UserWarning, match="damaged"):
        resumed = handle_of(root)
        phase1(resumed, root)
    assert outcome(resumed) == (weights, journal)


def test_joint_updates_every_few_rollouts_resume_from_whole_ones(tmp_path):
    name = "phase3-joint"
    train = joint_with(specialist_update_freq=2)
    whole = handle_of(tmp_path / "whole", name, checkpoint_seconds=1e9)
    train(whole, tmp_path / "pretrained")
    # the first boundary waits for the specialists' update, so nothing can be saved there
    with pytest.raises(Preempted, match="played again"):
        train(handle_of(tmp_path / "cut", name, stop=Stop(1)), tmp_path / "pretrained")
    with pytest.raises(Preempted, match="played again"):
        train(handle_of(tmp_path / "cut", name, stop=Stop(3)), tmp_path / "pretrained")
    resumed = handle_of(tmp_path / "cut", name)
    train(resumed, tmp_path / "pretrained")
    assert outcome(resumed) == outcome(whole)


def test_the_settings_of_the_whole_run_decide_the_step_size(tmp_path):
    handle = handle_of(tmp_path, "phase1-forex")
    phase1(handle, tmp_path)
    rates = [metrics["learning_rate"] for _, metrics in journal_of(handle)]
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
