"""The kill matrix of a team: wherever its training is killed, the finished one is that which nothing disturbed."""

import random
import shutil

import pytest

from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.execution.preparation import prepare_run, record_run
from tests.agents.teams import SMALL
from tests.kills.surviving import Reference, completed, survive
from tests.kills.test_kills import PLACES, VICTIMS

UNIT = "mappo-risk"
LONGEST = {"rollout": 48, "update": 20}
"""Calls of `advance` and of `backward` that surely happen in the training."""
ENVIRONMENT = {"config": {"risk_management": {"environment": {"max_episode_steps": 20}}}}


@pytest.fixture(scope="module")
def reference(tmp_path_factory, empty_database) -> Reference:
    root = tmp_path_factory.mktemp("teams")
    shutil.copy(empty_database, root / "mlflow.db")
    config = UnifiedTrainingConfig(
        training_mode=TrainingMode.RISK,
        training=TrainingConfig(**SMALL, total_steps=192),
        environment=ENVIRONMENT,
        evaluation_episodes=2,
    )
    with pytest.MonkeyPatch.context() as patch:
        # An edit of the code while the tests run must not look like a defect.
        patch.setattr("mtquant.execution.teams.code_versions", lambda names: dict.fromkeys(names, "same"))
        run = prepare_run(root, record_run(root, config, ["marl"], "direct", [UNIT]))
    return completed(root, run.record.run_id)


def drawn(seed: int) -> dict[str, object]:
    """Return the death of a seed; places take turns, the moment and the victims are random."""
    choice = random.Random(seed)
    place = PLACES[seed % len(PLACES)]
    count = choice.randint(1, LONGEST.get(place, 3))
    return {"unit": UNIT, "place": place, "count": count, "victims": choice.choice(VICTIMS)}


def test_the_reference_has_whole_curves(reference):
    assert set(reference.published) == {UNIT}
    assert len(reference.journals[UNIT]) == 6


@pytest.mark.parametrize("seed", [1, 6])
def test_a_kill_changes_nothing(reference, tmp_path, empty_database, seed):
    survive(reference, tmp_path, empty_database, drawn(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [seed for seed in range(30) if seed not in (1, 6)])
def test_no_kill_changes_anything(reference, tmp_path, empty_database, seed):
    survive(reference, tmp_path, empty_database, drawn(seed))
