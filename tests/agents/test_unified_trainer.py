"""`UnifiedPettingZooTrainer`: what a mode means, what the environments' own settings say, search and results."""

import pytest

from mtquant.agents.training.unified_pettingzoo_trainer import ENVIRONMENTS, UnifiedPettingZooTrainer, best_rate
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.envs.games.tactical import TacticalMarketEnv
from mtquant.errors import ConfigError
from tests.agents.teams import SMALL

SHORT = {"config": {"execution": {"environment": {"max_episode_steps": 20}}}}


def unified(mode: TrainingMode = TrainingMode.EXECUTION, **changes: object) -> UnifiedTrainingConfig:
    values = {"training": TrainingConfig(**SMALL, total_steps=96), "environment": SHORT, "evaluation_episodes": 2}
    return UnifiedTrainingConfig(training_mode=mode, **(values | changes))


def test_every_mode_has_its_environment():
    assert {*ENVIRONMENTS, TrainingMode.MIXED} == set(TrainingMode)
    assert TrainingMode.MIXED.parts == ("strategic", "tactical", "risk", "execution")
    made = ENVIRONMENTS[TrainingMode.TACTICAL](split="test")
    assert isinstance(made, TacticalMarketEnv)


def test_training_gives_the_documented_results():
    trainer = UnifiedPettingZooTrainer(unified())
    found = trainer.train()
    mode = found["modes"]["execution"]
    assert found["best_performance"] == mode["evaluation"]["reward"]
    assert found["training_time"] == mode["training_time"] > 0.0
    assert mode["steps"] == 96 and mode["episodes"] > 0
    assert mode["search"] == {}
    assert UnifiedPettingZooTrainer(unified()).train() == found


def test_mixed_is_each_environment_in_turn():
    found = UnifiedPettingZooTrainer(unified(TrainingMode.MIXED, environment={})).train()
    rewards = [mode["evaluation"]["reward"] for mode in found["modes"].values()]
    assert list(found["modes"]) == ["strategic", "tactical", "risk", "execution"]
    assert found["best_performance"] == pytest.approx(sum(rewards) / 4)


def test_a_search_tries_every_rate_for_a_short_time_and_keeps_the_best():
    config = unified(enable_hyperparameter_optimization=True, search_rates=(1e-4, 1e-2), search_share=0.5)
    trainer = UnifiedPettingZooTrainer(config)
    short = [trainer.settings(TrainingMode.EXECUTION, candidate) for candidate in trainer.candidates()]
    assert [(one.total_steps, one.actor_rate, one.critic_rate) for one in short] == [(48, 1e-4, 1e-4), (48, 1e-2, 1e-2)]
    found = trainer.train()["modes"]["execution"]
    assert set(found["search"]) == {1e-4, 1e-2}
    kept = trainer.trainers[TrainingMode.EXECUTION].config
    assert kept.learning_rate == best_rate(found["search"])
    assert kept.total_steps == 96


def test_the_first_of_equal_rates_is_kept():
    assert best_rate({1e-3: 1.0, 1e-2: 2.0, 1e-1: 2.0}) == 1e-2
    assert best_rate({}) is None


def test_a_team_brings_its_own_training():
    """Document 5 states episodes and rates with the environment; what is stated here counts instead."""
    mode = TrainingMode.STRATEGIC_TEAM
    own = UnifiedPettingZooTrainer(UnifiedTrainingConfig(training_mode=mode)).settings(mode)
    assert (own.num_episodes, own.episode_length, own.lr_actor, own.lr_critic) == (300, 500, 1e-4, 3e-4)
    stated = UnifiedTrainingConfig(training_mode=mode, total_episodes=7, training=TrainingConfig(lr_actor=0.1))
    changed = UnifiedPettingZooTrainer(stated).settings(mode)
    assert (changed.num_episodes, changed.lr_actor, changed.lr_critic) == (7, 0.1, 3e-4)


def test_settings_survive_a_record():
    """A recorded run reads back what it was asked for, with every default stated."""
    mode = TrainingMode.TACTICAL_TEAM
    config = UnifiedTrainingConfig(training_mode=mode, enable_curriculum_learning=True)
    again = UnifiedTrainingConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert UnifiedPettingZooTrainer(again).settings(mode) == UnifiedPettingZooTrainer(config).settings(mode)
    assert UnifiedPettingZooTrainer(again).settings(mode).curriculum == config.curriculum


def test_settings_of_the_environment_are_checked_before_anything_is_trained():
    with pytest.raises(ConfigError, match="strategic_marl"):
        UnifiedPettingZooTrainer(unified(environment={"config": {"strategc_marl": {}}})).train()
