"""How each environment is learned by default, and that what a person states stands."""

import pytest

from mtquant.agents.training.unified_pettingzoo_trainer import UnifiedPettingZooTrainer
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.config.presets import PRESETS, preset_for

USUAL = UnifiedTrainingConfig().training


@pytest.mark.parametrize("mode", PRESETS, ids=str)
def test_a_preset_is_used_where_nothing_else_is_stated(mode):
    made = UnifiedPettingZooTrainer(UnifiedTrainingConfig(training_mode=mode)).settings(mode)
    for name, value in PRESETS[mode].items():
        assert getattr(made, name) == value
    given = {"env_factory", "env_settings", "episode_length", "validations", "validation_settings"}
    kept = set(TrainingConfig.model_fields) - set(PRESETS[mode]) - given
    assert all(getattr(made, name) == getattr(USUAL, name) for name in kept)


def test_what_is_stated_stands():
    stated = USUAL.changed(gamma=0.5, n_envs=4)
    found = preset_for(TrainingMode.EXECUTION, stated)
    assert set(PRESETS[TrainingMode.EXECUTION]) - set(found) == {"gamma", "n_envs"}
    config = UnifiedTrainingConfig(training_mode=TrainingMode.EXECUTION, training=stated)
    made = UnifiedPettingZooTrainer(config).settings(TrainingMode.EXECUTION)
    assert (made.gamma, made.n_envs) == (0.5, 4)
    assert made.n_steps == PRESETS[TrainingMode.EXECUTION]["n_steps"]


def test_a_step_size_of_the_search_goes_before_the_preset():
    config = UnifiedTrainingConfig(training_mode=TrainingMode.RISK, enable_hyperparameter_optimization=True)
    trainer = UnifiedPettingZooTrainer(config)
    rates = [trainer.settings(TrainingMode.RISK, candidate).actor_rate for candidate in trainer.candidates()]
    assert tuple(rates) == config.search_rates


@pytest.mark.parametrize("mode", [TrainingMode.TACTICAL_TEAM, TrainingMode.STRATEGIC_TEAM], ids=str)
def test_the_teams_of_document_5_have_their_own_settings(mode):
    assert preset_for(mode, USUAL) == {}
