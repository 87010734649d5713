"""Settings of multi-agent training that do not fit together."""

import pytest
from pydantic import ValidationError

from mtquant.config.marl import ParallelTrainingConfig, TrainingConfig


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"n_envs": 10, "rollout_shards": 4}, "10 rows cannot be cut into 4 equal shards"),
        ({"actor_hidden": (8, 0)}, "at least one unit"),
        ({"algorithm": "qmix"}, "'mappo' or 'ippo'"),
        ({"curriculum": {"kind": "plr"}}, "`plr` is decided by.*teams take `schedule` or `uniform`"),
        ({"learning_rates": 1.0}, "Extra inputs"),
    ],
)
def test_training_settings_are_checked(changes, problem):
    with pytest.raises(ValidationError, match=problem):
        TrainingConfig(**changes)


def test_every_worker_has_a_shard():
    with pytest.raises(ValidationError, match="9 workers have only 8 shards"):
        ParallelTrainingConfig(num_workers=9)


def test_the_documents_rates():
    config = TrainingConfig(learning_rate=3e-4, lr_critic=1e-3)
    assert (config.actor_rate, config.critic_rate) == (3e-4, 1e-3)


def test_settings_travel_as_json_without_the_factory():
    config = TrainingConfig(env_factory=dict, env_settings={"a": [1]}, actor_hidden=(8,))
    again = TrainingConfig.model_validate_json(config.model_dump_json())
    assert again == config.model_copy(update={"env_factory": None})
