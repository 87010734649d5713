"""The documents' spelling means the same as the fields it stands for."""

from pathlib import Path

import pytest

from mtquant.config.documented import TABLE
from mtquant.config.explain import differences
from mtquant.config.load import load_pipeline, resolve
from mtquant.config.phases import RewardSpec
from mtquant.config.reader import spread
from mtquant.errors import ConfigError

TRAINING = """
training:
  learning_rate: 0.0003
  batch_size: 256
  n_epochs: 10
  gamma: 0.99
  gae_lambda: 0.95
  clip_range: 0.2
  phase_1_timesteps: 500000
  phase_2_timesteps: 300000
  phase_3_timesteps: 1000000
  meta_update_freq: 1
  specialist_update_freq: 5
  device: "cuda"
  n_envs: 8
"""
ENVIRONMENT = """
environment:
  episode_length: 1000
  warmup_steps: 50
  initial_capital: 100000.0
  transaction_cost: 0.003
  max_position_size: 0.1
  stop_loss_pct: 0.02
  max_portfolio_var: 0.02
  max_correlation_exposure: 0.7
  max_sector_allocation: 0.4
"""
REWARD = """
reward:
  risk_penalty_weight: 1.0
  transaction_cost_weight: 1.0
  diversification_bonus_weight: 0.5
  sharpe_target: 2.0
  max_drawdown_target: 0.15
  risk_free_rate: 0.02
  downside_volatility_weight: 1.0
"""
SPECIALIST = """
environment:
  instrument: 'EURUSD'
  episode_length: 1000
  initial_capital: 100000.0
  transaction_cost: 0.003
  max_position_size: 0.1
  stop_loss_pct: 0.02
"""
PORTFOLIO = """
environment:
  instruments: ['EURUSD', 'GBPUSD', 'USDJPY', 'XAUUSD', 'WTIUSD', 'SPX500', 'NAS100', 'US30']
  episode_length: 1000
  initial_capital: 100000.0
  max_portfolio_var: 0.02
  max_correlation_exposure: 0.7
"""
JOINT = PORTFOLIO + "  gradient_coordination: true\n  curriculum_learning: true\n"


@pytest.fixture
def load(tmp_path: Path):
    def read(text: str, *overrides: str):
        path = tmp_path / "agents.yaml"
        path.write_text(text)
        return load_pipeline(config=path, overrides=overrides)

    return read


@pytest.mark.parametrize(
    "text", [TRAINING, ENVIRONMENT, REWARD, SPECIALIST, PORTFOLIO, JOINT, TRAINING + ENVIRONMENT + REWARD]
)
def test_the_documents_examples_are_accepted(load, text):
    load(text)


def test_every_documented_key_arrives_at_the_fields_it_names(load):
    """A value unlike the default, stated in the documents' spelling, changes these fields and no other."""
    changed = {
        "learning_rate": 0.0035,
        "batch_size": 512,
        "n_epochs": 3,
        "gamma": 0.7,
        "gae_lambda": 0.5,
        "clip_range": 0.3,
        "n_envs": 130,
        "phase_1_timesteps": 11,
        "phase_2_timesteps": 12,
        "phase_3_timesteps": 13,
        "meta_update_freq": 2,
        "specialist_update_freq": 4,
        "device": "cuda",
        "instrument": "XAUUSD",
        "max_position_size": 0.2,
        "stop_loss_pct": 0.05,
        "max_portfolio_var": 0.03,
        "max_correlation_exposure": 0.6,
        "max_sector_allocation": 0.5,
        "gradient_coordination": False,
        "curriculum_learning": False,
        "name": "log_return",
        "risk_aversion": 9.0,
        "risk_penalty_weight": 0.5,
        "transaction_cost_weight": 0.4,
        "diversification_bonus_weight": 0.3,
        "downside_volatility_weight": 0.2,
        "risk_free_rate": 0.01,
        "sharpe_target": 1.5,
        "max_drawdown_target": 0.3,
        "eta": 0.02,
    }
    # Smaller rollouts so that one changed value does not contradict the others.
    common = ("phase1.ppo.batch_size=64", "phase2.ppo.batch_size=64")
    for (block, key), targets in TABLE.items():
        value = changed.pop(key)
        others = () if key == "batch_size" else common
        before = load("", *others)
        after = load(f"{block}: {{{key}: {str(value).lower() if isinstance(value, bool) else value}}}", *others)
        told = [value] if key == "instrument" else value
        found = {name: new for name, _, new in differences(before, after)}
        assert found == {".".join(target): told for target in targets}
    assert not changed, "keys of the table that no longer exist"


def test_the_reward_block_reaches_every_field_of_the_reward():
    assert {key for block, key in TABLE if block == "reward"} == set(RewardSpec.model_fields)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "training: {learning_rate: 0.1}\nphase2: {ppo: {learning_rate: 0.2}}",
            ("line 1, `training.learning_rate`", "line 2, `phase2.ppo.learning_rate`", "0.1", "0.2"),
        ),
        (
            "environment: {max_position_size: 0.2}\nlimits: {max_position_size: 0.3}",
            ("`environment.max_position_size`", "`limits.max_position_size`"),
        ),
        ("reward: {eta: 0.5}\nphase3: {reward: {eta: 0.4}}", ("`reward.eta`", "`phase3.reward.eta`")),
        (
            "environment: {instrument: EURUSD, instruments: [GBPUSD]}",
            ("`environment.instrument`", "`environment.instruments`"),
        ),
    ],
)
def test_one_thing_told_twice_differently_names_both(load, text, names):
    with pytest.raises(ConfigError) as refused:
        load(text)
    assert all(name in str(refused.value) for name in names)


def test_one_thing_told_twice_alike_is_accepted(load):
    spec = load("training: {learning_rate: 0.1}\nphase2: {ppo: {learning_rate: 0.1}}")
    assert spec.phase2.ppo.learning_rate == 0.1


def test_a_later_layer_wins_over_the_other_spelling(load):
    spec = load("training: {learning_rate: 0.1}", "phase1.ppo.learning_rate=0.2")
    assert (spec.phase1.ppo.learning_rate, spec.phase2.ppo.learning_rate) == (0.2, 0.1)
    assert load("phase1: {ppo: {learning_rate: 0.1}}", "training.learning_rate=0.2").phase1.ppo.learning_rate == 0.2


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("training: {learning_rat: 1}", "`training.learning_rat` is an unknown key. Did you mean `learning_rate`?"),
        ("reward: {sharp_target: 1}", "Did you mean `sharpe_target`?"),
        ("environment: {max_position: 1}", "Did you mean `max_position_size`?"),
        ("trainin: {}", "Did you mean `training`?"),
        ("training: 5", "a block of keys is expected"),
        ("training: {n_epochs: many}", "`training.n_epochs`: a whole number is expected; the text `many` was found"),
    ],
)
def test_mistakes_in_the_documents_spelling_are_named_as_written(load, text, hint):
    with pytest.raises(ConfigError) as refused:
        load(text)
    assert hint in str(refused.value)


@pytest.mark.parametrize("text", ["training:\n", "reward: {}\n", "environment:\n", "phase1:\n"])
def test_an_empty_block_changes_nothing(load, text):
    assert load(text) == load("")


def test_a_flat_cost_that_is_not_charged_is_mentioned(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text(ENVIRONMENT)
    assert any("`environment.transaction_cost` has no effect" in note for note in resolve(config=path).notes)
    assert not resolve(config=path, overrides=["environment.costs=flat"]).notes
    assert not resolve("spec").notes


def test_the_spec_profile_states_the_documents_values(tmp_path: Path):
    """Everything the three blocks say is so in the profile, in whatever spelling."""
    path = tmp_path / "c.yaml"
    path.write_text(TRAINING + ENVIRONMENT + REWARD)
    documents = resolve(config=path, overrides=["phase1.ppo.n_steps=2048", "phase2.ppo.n_steps=2048"])
    dumped = [spread(spec.model_dump(mode="json")) for spec in (documents.spec, load_pipeline("spec"))]
    stated = [key for key in documents.origins if key in dumped[0] and key[0] not in ("catalogue", "limits")]
    assert len(stated) > 40
    for key in stated:
        assert dumped[1][key] == dumped[0][key], key
