"""The documents' configuration of the games: read as written, refused where wrong."""

import re
from pathlib import Path

import pytest
import yaml

from mtquant.config.games import GamesSpec, read_games, validate_config
from mtquant.config.spec import Spec
from mtquant.errors import ConfigError

DOCUMENTED = """
strategic_marl:
  environment: {matrix_shape: [48, 13], max_episode_steps: 2000, reward_scaling: 1.0, observation_noise: 0.01}
  agents:
    mlmi_expert: {observation_columns: [0, 1, 2, 3], action_space_size: 3, expertise_weight: 0.35}
    nwrqk_expert: {observation_columns: [4, 5, 6, 7], action_space_size: 3, expertise_weight: 0.35}
    regime_expert: {observation_columns: [8, 9, 10, 11, 12], action_space_size: 3, expertise_weight: 0.30}
tactical_marl:
  environment: {matrix_shape: [60, 7], max_episode_steps: 1000, state_machine: true, byzantine_tolerance: true}
  agents:
    fvg_agent: {observation_columns: [0, 1, 2], detection_threshold: 0.7, confidence_threshold: 0.8}
    momentum_agent: {observation_columns: [3, 4], momentum_window: 14, trend_threshold: 0.6}
    entry_opt_agent: {observation_columns: [5, 6], optimization_steps: 10, timing_precision: 0.001}
risk_management:
  environment: {observation_space: 10, max_episode_steps: 500, var_confidence: 0.95, correlation_threshold: 0.5}
  agents:
    position_sizing: {kelly_fraction: 0.25, max_position: 0.1, risk_free_rate: 0.02}
    stop_target: {atr_multiplier: 2.0, profit_target_ratio: 2.0, dynamic_adjustment: true}
    risk_monitor: {var_threshold: 0.05, correlation_shock_threshold: 0.3, emergency_protocols: true}
    portfolio_optimizer: {max_weight: 0.4, correlation_limit: 0.7, rebalance_threshold: 0.05}
execution:
  environment: {max_episode_steps: 200, execution_venues: [venue_a, venue_b, venue_c], latency_target: 0.001}
  agents:
    position_sizing: {min_size: 100, max_size: 10000, size_increment: 100}
    stop_target: {execution_slippage_tolerance: 0.001}
    risk_monitor: {execution_risk_limit: 0.02}
    portfolio_optimizer: {execution_cost_weight: 0.3}
    routing: {venue_selection_algorithm: smart_routing, market_impact_model: almgren_chriss}
tactical: {num_episodes: 200, episode_length: 1000, lr_actor: 0.0003, lr_critic: 0.001}
strategic: {num_episodes: 300, episode_length: 500, lr_actor: 0.0001, lr_critic: 0.0003}
"""


def test_the_documents_values_are_the_defaults(tmp_path: Path):
    page = tmp_path / "games.yaml"
    page.write_text(DOCUMENTED)
    assert read_games(page) == read_games(str(page)) == read_games(yaml.safe_load(DOCUMENTED)) == GamesSpec()


def test_what_is_not_stated_keeps_its_default():
    spec = read_games({"strategic_marl": {"agents": {"mlmi_expert": {"expertise_weight": 0.5}}, "rewards": None}})
    expert = spec.strategic_marl.agents.mlmi_expert
    assert (expert.expertise_weight, expert.observation_columns) == (0.5, (0, 1, 2, 3))
    assert spec.strategic_marl.rewards == GamesSpec().strategic_marl.rewards
    assert validate_config() and validate_config({"debug": True})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"strategic": {"num_episode": 3}}, "strategic.num_episode.*Did you mean `num_episodes`"),
        ({"environment": {}}, "`environment` is an unknown key.*`strategic_marl`"),
        ({"strategic_marl": {"environment": {"matrix_shape": [48, 12]}}}, "13 columns do not fill a matrix of 48 x 12"),
        ({"strategic_marl": {"environment": {"matrix_shape": [200, 13]}}}, "150 bars .* window of 200"),
        ({"tactical_marl": {"environment": {"columns": ["rsi"] * 7}}}, "a column stands twice"),
        ({"strategic_marl": {"agents": {"mlmi_expert": {"action_space_size": 5}}}}, "action_space_size.*3"),
        ({"execution": {"environment": {"max_episode_steps": 30}}}, "30 steps does not hold whole orders of 20"),
        ({"execution": {"agents": {"position_sizing": {"min_size": 20_000}}}}, "20000 is above 10000"),
        ({"risk_management": {"environment": {"observation_space": 11}}}, "observation_space.*10"),
        ({"debug": "yes"}, "debug.*`true` or `false`"),
        ({"tactical": {"lr_actor": float("nan")}}, "lr_actor"),
    ],
)
def test_mistakes_are_refused_with_place_and_remedy(config, message):
    with pytest.raises(ConfigError, match=re.compile(message, re.DOTALL)):
        validate_config(config)


def test_a_yaml_file_is_refused_with_its_line(tmp_path: Path):
    page = tmp_path / "games.yaml"
    page.write_text("tactical_marl:\n  environment:\n    max_episode_steps: 0\n")
    with pytest.raises(ConfigError, match=r"games.yaml` line 3, `tactical_marl.environment.max_episode_steps`"):
        read_games(page)


def test_every_setting_is_explained():
    def bare(spec, path=()):
        for name, info in type(spec).model_fields.items():
            value = getattr(spec, name)
            if isinstance(value, Spec):
                yield from bare(value, (*path, name))
            elif not info.description:
                yield ".".join((*path, name))

    assert not list(bare(GamesSpec()))
