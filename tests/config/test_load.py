"""Files, profiles and overrides become one spec; what is wrong is said so that it can be corrected."""

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import PipelineSpec
from mtquant.config.explain import differences
from mtquant.config.load import (
    Resolved,
    config_folder,
    from_yaml,
    load_pipeline,
    load_yaml,
    profiles,
    resolve,
    shipped_folder,
    to_yaml,
)
from mtquant.errors import ConfigError

DEFAULT = load_pipeline("default")


@pytest.fixture
def read(tmp_path: Path):
    def resolved(text: str, *overrides: str, profile: str | None = None) -> Resolved:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return resolve(profile, path, overrides)

    return resolved


def refusal(call) -> str:
    with pytest.raises(ConfigError) as refused:
        call()
    return str(refused.value)


@pytest.mark.parametrize("name", profiles())
def test_every_profile_loads(name):
    spec = load_pipeline(name)
    assert spec.groups == ("forex", "commodities", "equity")
    assert from_yaml(to_yaml(spec)) == spec


def test_the_default_profile_is_the_specs_defaults():
    assert PipelineSpec(catalogue=DEFAULT.catalogue) == DEFAULT


def test_agents_yaml_as_delivered_changes_nothing():
    assert load_pipeline() == DEFAULT
    assert load_pipeline("smoke", shipped_folder() / "agents.yaml") == load_pipeline("smoke")


def test_the_values_that_agents_yaml_shows_are_the_defaults(read):
    lines = (shipped_folder() / "agents.yaml").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# training:"))
    shown = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[start:])
    spec = read(shown, "phase2.ppo.batch_size=4096").spec
    # Phases 2 and 3 have learners of their own; what is shown for all is phase 1's.
    assert spec.model_copy(update={"phase2": DEFAULT.phase2, "phase3": DEFAULT.phase3}) == DEFAULT
    assert {key.split(".")[-1] for key, _, _ in differences(spec, DEFAULT)} <= {
        "learning_rate",
        "specialist_learning_rate",
        "batch_size",
        "n_epochs",
        "gamma",
        "n_envs",
    }


def test_the_smoke_profile_is_smaller_everywhere():
    smoke = load_pipeline("smoke")
    for phase in ("phase1", "phase2", "phase3"):
        assert getattr(smoke, phase).timesteps < getattr(DEFAULT, phase).timesteps / 10
    assert smoke.evaluation.paired_episodes < DEFAULT.evaluation.paired_episodes


def test_later_layers_win(tmp_path: Path):
    folder = tmp_path / "config"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "mine.yaml").write_text("seed: 1\ncheckpoint_seconds: 1\nlimits: {sector_base: 2.0}")
    (folder / "risk.yaml").write_text("limits: {sector_base: 3.0, position_base: 3.0}")
    (tmp_path / "own.yaml").write_text("checkpoint_seconds: 2\nexport: {tolerance: 0.5}")
    found = resolve("mine", tmp_path / "own.yaml", ["export.tolerance=0.25"], folder).spec
    assert (found.limits.position_base, found.limits.sector_base) == (3.0, 2.0)
    assert (found.seed, found.checkpoint_seconds, found.export.tolerance) == (1, 2.0, 0.25)
    assert found.catalogue == DEFAULT.catalogue, "a folder without instruments.yaml uses the shipped one"


def test_agents_yaml_is_read_when_nothing_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "agents.yaml").write_text("seed: 7")
    (folder / "instruments.yaml").write_text((shipped_folder() / "instruments.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert config_folder() == Path("config")
    assert load_pipeline().seed == 7
    assert load_pipeline("smoke").seed == load_pipeline("default").seed == 0


def test_without_a_folder_of_ones_own_the_shipped_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "config").mkdir()
    monkeypatch.chdir(tmp_path)
    assert config_folder() == shipped_folder()


def test_nested_defaults_survive_a_partial_block(read):
    """The learner of phase 2 differs from that of phase 1; naming one key must not bring the latter's."""
    ppo = read("phase2: {ppo: {n_epochs: 3}}").spec.phase2.ppo
    assert ppo == DEFAULT.phase2.ppo.model_copy(update={"n_epochs": 3})


def test_an_instrument_is_added_or_changed_by_key(read):
    new = "{group: crypto, half_spread_bps: 2.0}"
    spec = read(f"catalogue: {{instruments: {{EURUSD: {{impact: 1.5}}, BTCUSD: {new}}}}}").spec
    found, before = spec.catalogue.instruments["EURUSD"], DEFAULT.catalogue.instruments["EURUSD"]
    assert found == before.model_copy(update={"impact": 1.5})
    assert spec.catalogue.groups[-1] == "crypto"


def test_parameters_of_a_choice_go_with_it(read):
    smoke = load_pipeline("smoke")
    assert smoke.data.planted
    assert load_pipeline("smoke", overrides=["data.source=gp-easy"]).data.planted == {}
    assert load_pipeline("smoke", overrides=["data.source=embedded"]).data.planted == smoke.data.planted
    assert read("phase3: {aggregator: {name: upgrad}}").spec.phase3.aggregator == {"name": "upgrad"}
    assert read("phase3: {aggregator: {beta: 0.5}}").spec.phase3.aggregator["name"] == "portfolio_only"


def test_overrides_are_yaml_values():
    spec = load_pipeline(
        "smoke",
        overrides=[
            "phase1.timesteps=20_000",
            "phase1.ppo={n_epochs: 2}",
            "environment.instruments=[EURUSD, XAUUSD]",
            "limits.stop_loss=off",
            "data.timeframe=D1",
            "features.regimes=true",
            ("data.source", "1e5"),
        ],
    )
    assert (spec.phase1.timesteps, spec.phase1.ppo.n_epochs) == (20_000, 2)
    assert spec.environment.instruments == ("EURUSD", "XAUUSD")
    assert (spec.limits.stop_loss, spec.data.timeframe, spec.features.regimes) == ("off", "D1", True)
    assert spec.data.source == "1e5", "a value that is not typed is taken as it is"


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (["phase1.timesteps"], ("phase1.timesteps", "no `=`")),
        (["=3"], ("no key",)),
        (["phase1..timesteps=3"], ("no key",)),
        (["seed=1", "seed=2"], ("`--set seed`", "twice")),
        (["phase1=3", "phase1.timesteps=2"], ("exclude each other",)),
        (["phase1.timestep=2"], ("`--set`, `phase1.timestep`", "Did you mean `timesteps`?")),
        (["phase1.ppo.learning_rate=3e-4"], ("`phase1.ppo.learning_rate`", "Write `3.0e-4`")),
        (["seed=[1"], ("`--set`, `seed`", "not valid YAML")),
    ],
)
def test_a_wrong_override_is_named(overrides, names):
    message = refusal(lambda: load_pipeline("smoke", overrides=overrides))
    assert all(name in message for name in names), message


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("phase1:\n  timestep: 3", ("own.yaml` line 2, `phase1.timestep`", "Did you mean `timesteps`?", "`reward`")),
        ("pase1: {}", ("`pase1`", "Did you mean `phase1`?")),
        (
            "catalogue: {instruments: {EURUSD: {spread: 1}}}",
            ("`catalogue.instruments.EURUSD.spread`", "`half_spread_bps`"),
        ),
        ("phase1: {timesteps: many}", ("`phase1.timesteps`", "whole number", "`many`")),
        ("phase1: {timesteps: 5.0}", ("`phase1.timesteps`", "write `5`")),
        ("phase1: {timesteps: '5'}", ("`phase1.timesteps`", "whole number", "the text `5`")),
        ("phase1: {timesteps: 0}", ("`phase1.timesteps`", "greater than or equal to 1", "`0`")),
        ("features: {regimes: yes}", ("`features.regimes`", "`true` or `false`")),
        ("limits: {stop_loss: prise}", ("`limits.stop_loss`", "`equity`", "did you mean `price`?")),
        ("phase1: 3", ("`phase1`", "a block of keys")),
        ("device: 3", ("`device`", "text is expected")),
        ("export: {tolerance: .nan}", ("`export.tolerance`", "a number")),
        ("features: {return_half_lives: 3}", ("`features.return_half_lives`", "a list")),
        ("features: {return_half_lives: [3, x]}", ("`features.return_half_lives[1]`", "a number", "`x`")),
        ("limits: {breaker_losses: [0.1]}", ("`limits.breaker_losses`", "longer list")),
        ("limits: {breaker_losses: [0.1, 0.2, 0.3, 0.4]}", ("`limits.breaker_losses`", "3 entries")),
        ("phase1: {ppo: {learning_rate: 3e-4}}", ("line 1, `phase1.ppo.learning_rate`", "Write `3.0e-4`")),
        ("seed: 1\nseed: 2", ("line 2, `seed`", "stands twice", "line 1")),
        ("phase3: {aggregator: upgrad}", ("`phase3.aggregator`", "a block of keys")),
    ],
)
def test_a_wrong_file_names_place_key_and_what_is_allowed(read, text, names):
    message = refusal(lambda: read(text))
    assert all(name in message for name in names), message


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("phase1: {ppo: {n_envs: 2}}", ("`phase1.ppo.n_envs`", "8192", "2 x 64 = 128")),
        ("training: {batch_size: 5000}", ("`training.batch_size`", "64 x 64 = 4096")),
        ("phase3: {n_steps: 61}", ("`phase3.n_steps`", "multiple of `phase2.decision_bars`", "60")),
        ("phase2: {decision_bars: 7}", ("`phase2.decision_bars`", "`phase3.n_steps`")),
        ("phase2: {decision_bars: 20}\nenvironment: {episode_length: 15}", ("`environment.episode_length`", "15")),
        ("phase3: {n_minibatches: 100_000}", ("`phase3.n_minibatches`", "7680")),
        ("phase3: {curriculum: {until: []}}", ("`phase3.curriculum.until`", "one fewer")),
        ("phase3: {curriculum: {cost_scale: [1.0]}}", ("`phase3.curriculum.cost_scale`", "one entry per level")),
        ("phase3: {curriculum: {cost_scale: [1.0, 2.0]}}", ("`phase3.curriculum.cost_scale`", "1 at the last level")),
        ("phase3: {curriculum: {episode_scale: [-1.0, 1.0]}}", ("`phase3.curriculum.episode_scale`", "above 0")),
        ("phase3: {curriculum: {until: [1.5]}}", ("`phase3.curriculum.until`", "between 0 and 1")),
        ("phase3: {curriculum: {until: [0.9]}}", ("`phase3.curriculum.until`", "0.25", "lower `real_share`")),
        ("phase3: {curriculum: {kind: levles}}", ("`phase3.curriculum.kind`", "did you mean `levels`?")),
        ("phase3: {curriculum: {kind: levels, levels: []}}", ("`phase3.curriculum.levels`", "enabled: false")),
        (
            "phase3: {curriculum: {levels: [{volatility_range: [0.5, 0.1]}]}}",
            ("`phase3.curriculum.levels[0].volatility_range`", "not fall"),
        ),
        (
            "phase3: {curriculum: {levels: [{market_conditions: [calm]}]}}",
            ("`phase3.curriculum.levels[0].market_conditions[0]`", "`sideways`"),
        ),
        (
            "phase3: {curriculum: {ranges: {cost_scale: [1.5, 2.0]}}}",
            ("`phase3.curriculum.ranges.cost_scale`", "hold 1"),
        ),
        ("phase3: {curriculum: {adr: {success_low: 0.8}}}", ("`phase3.curriculum.adr.success_low`", "success_high")),
        ("phase3: {aggregator: {name: 5}}", ("`phase3.aggregator`", "`name`")),
        ("data: {train_fraction: 0.8}", ("`data.train_fraction`", "test split")),
        ("environment: {instruments: [EURUS]}", ("`environment.instruments`", "Did you mean `EURUSD`?")),
        ("environment: {instruments: [US30, US30]}", ("`environment.instruments`", "`US30` stands twice")),
        ("environment: {instruments: []}", ("`environment.instruments`", "empty")),
        ("features: {return_half_lives: [1, 0]}", ("`features.return_half_lives`", "above 0")),
        ("phase1: {ppo: {actor_hidden: [64, 0]}}", ("`phase1.ppo.actor_hidden`", "one unit")),
        ("limits: {breaker_losses: [0.1, 0.1, 0.2]}", ("`limits.breaker_losses`", "rise")),
        ("limits: {breaker_scales: [0.1, 0.2, 0.0]}", ("`limits.breaker_scales`", "not rise")),
    ],
)
def test_values_that_do_not_fit_together_are_named(read, text, names):
    message = refusal(lambda: read(text))
    assert all(name in message for name in ("own.yaml", *names)), message


def test_all_problems_are_listed_at_once(read):
    text = "phase1: {timestep: 1}\nexport: {tolerance: x}\nreward: {eta: 5}"
    message = refusal(lambda: read(text, "seed=-1"))
    # The reward's rate is refused for three phases and said once.
    assert message.startswith("The configuration has 4 problems:")
    assert message.count("\n  - ") == 4


def test_a_standard_file_has_its_own_block_only(tmp_path: Path):
    (tmp_path / "risk.yaml").write_text("limits: {}\nseed: 3\n")
    message = refusal(lambda: resolve("default", folder=tmp_path))
    assert all(part in message for part in ("risk.yaml", "line 2", "`seed`", "`limits:`"))


def test_an_unknown_profile_or_file_is_named():
    assert "Did you mean `smoke`?" in refusal(lambda: load_pipeline("smok"))
    assert "nowhere.yaml" in refusal(lambda: load_pipeline(config=Path("nowhere.yaml")))


def test_notes_reach_the_log(read, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "own.yaml"
    path.write_text("environment: {transaction_cost: 0.1}")
    with caplog.at_level(logging.WARNING):
        load_pipeline(config=path)
    assert "has no effect" in caplog.text


def test_shipped_files_are_complete():
    folder = shipped_folder()
    assert {"agents.yaml", "instruments.yaml", "risk.yaml"} <= {path.name for path in folder.glob("*.yaml")}
    assert {"smoke", "default", "spec"} <= set(profiles(folder))
    limits = DEFAULT.limits.model_dump(mode="json", exclude={"enabled", "reading"})
    assert load_yaml(folder / "risk.yaml")["limits"] == limits


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
positive = st.floats(1e-300, 1e300)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30)
@given(
    source=texts,
    zone=texts | st.sampled_from(["3e-4", "off", "null", "012", "1_0", "0x1F", "~", "yes", "2020-01-01"]),
    timeframe=st.none() | texts,
    day_first=st.none() | st.booleans(),
    rate=positive,
    capital=positive,
    half_lives=st.lists(positive, max_size=4),
    planted=st.dictionaries(texts, plain, max_size=3),
    timesteps=st.integers(1, 10**12),
    parameters=st.dictionaries(texts, plain, max_size=2),
)
def test_a_spec_survives_yaml(
    source, zone, timeframe, day_first, rate, capital, half_lives, planted, timesteps, parameters
):
    spec = PipelineSpec.model_validate_json(DEFAULT.model_dump_json()).model_copy(deep=True)
    data = spec.data.model_copy(
        update={"source": source, "time_zone": zone, "timeframe": timeframe, "day_first": day_first, "planted": planted}
    )
    changed = spec.model_copy(
        update={
            "data": data,
            "features": spec.features.model_copy(update={"return_half_lives": tuple(half_lives)}),
            "environment": spec.environment.model_copy(update={"initial_capital": capital}),
            "phase1": spec.phase1.model_copy(
                update={"timesteps": timesteps, "ppo": spec.phase1.ppo.model_copy(update={"learning_rate": rate})}
            ),
            "phase3": spec.phase3.model_copy(update={"aggregator": parameters | {"name": "x"}}),
        }
    )
    assert from_yaml(to_yaml(changed)) == changed
