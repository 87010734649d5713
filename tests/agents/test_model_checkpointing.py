"""Boundaries of training: what is written, what is kept, what comes back."""

import numpy as np
import pytest

from mtquant.agents.training.model_checkpointing import ModelCheckpointingSystem
from mtquant.errors import CheckpointError, Preempted
from mtquant.store.snapshot import Snapshot
from tests.agents.made import Stop, handle_of, journal_of


def parts(step: float):
    return {"w": np.full(2, step)}, {"step": step}


def trained(root, rewards, **settings) -> ModelCheckpointingSystem:
    found = ModelCheckpointingSystem(handle_of(root, **settings))
    for step, reward in enumerate(rewards, start=1):
        metrics = {"reward_per_step": reward, "approx_kl": float(-step)}
        found.boundary(step, metrics, lambda at=step: parts(float(at)), last=step == len(rewards))
    return found


def steps_of(found: ModelCheckpointingSystem) -> list[int]:
    return [checkpoint.step for checkpoint in found.unit.unit.checkpoints.retained()]


def test_the_last_two_the_best_and_the_final_are_kept(tmp_path):
    found = trained(tmp_path, [0.1, 0.9, 0.2, 0.3, 0.4])
    assert steps_of(found) == [2, 4, 5]
    assert found.get_best_model().step == 2
    assert found.get_best_model("approx_kl").step == 2
    assert found.get_best_model().load().values == {"step": 2.0}
    assert [step for step, _ in journal_of(found.unit)] == [1, 2, 3, 4, 5]


def test_the_end_is_kept_even_where_no_checkpoint_was_due(tmp_path):
    assert steps_of(trained(tmp_path, [0.1, 0.2, 0.3], checkpoint_seconds=1e9)) == [3]


def test_a_chosen_checkpoint_is_loaded_and_others_are_refused(tmp_path):
    found = trained(tmp_path, [0.9, 0.2, 0.3])
    step, snapshot = found.load_checkpoint(found.get_best_model().folder)
    assert (step, snapshot.values) == (1, {"step": 1.0})
    assert found.load_checkpoint()[0] == 3
    with pytest.raises(CheckpointError, match=r"nowhere is no valid checkpoint.*\[1, 2, 3\]"):
        found.load_checkpoint(tmp_path / "nowhere")


def test_an_unknown_or_undefined_metric_is_said(tmp_path):
    found = trained(tmp_path, [float("nan"), float("nan")])
    with pytest.raises(CheckpointError, match=r"measured `sharpe`; measured were approx_kl, reward_per_step"):
        found.get_best_model("sharpe")
    with pytest.raises(CheckpointError, match="reward_per_step"):
        found.get_best_model()


def test_a_stop_checkpoints_where_that_is_possible(tmp_path):
    found = ModelCheckpointingSystem(handle_of(tmp_path, stop=lambda: True, checkpoint_seconds=1e9))
    with pytest.raises(Preempted, match="played again"):
        found.boundary(1, {}, lambda: parts(1.0), complete=False)
    assert steps_of(found) == []
    with pytest.raises(Preempted, match="a checkpoint was written"):
        found.boundary(2, {}, lambda: parts(2.0))
    assert steps_of(found) == [2]
    found.boundary(3, {}, lambda: parts(3.0), last=True)
    assert steps_of(found) == [2, 3], "the end is not a stop"


def test_the_history_is_the_same_however_it_was_cut(tmp_path):
    whole = trained(tmp_path / "whole", [0.1] * 6, checkpoint_seconds=1e9).unit.head
    with pytest.raises(Preempted):
        trained(tmp_path / "cut", [0.1] * 6, stop=Stop(4))
    resumed = ModelCheckpointingSystem(handle_of(tmp_path / "cut"))
    step, snapshot = resumed.load_checkpoint()
    assert (step, snapshot) == (4, Snapshot(snapshot.arrays, {"step": 4.0}))
    for left in (5, 6):
        resumed.boundary(left, {}, lambda at=left: parts(float(at)), last=left == 6)
    assert resumed.unit.head == whole
