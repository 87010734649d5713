"""The manual of settings is complete and true."""

import pytest

from mtquant.config.explain import differences, settings
from mtquant.config.load import load_pipeline
from mtquant.config.reader import spread
from mtquant.errors import ConfigError

OPEN = ("data.planted", "phase3.aggregator")


def test_every_setting_is_listed_with_its_default_and_meaning():
    spec = load_pipeline("default")
    listed = {s.key: s for s in settings()}
    dumped = {".".join(path): value for path, value in spread(spec.model_dump(mode="json")).items()}
    closed = {k: v for k, v in dumped.items() if not k.startswith(("catalogue.", *OPEN))}
    ours = {k: s.default for k, s in listed.items() if not k.startswith(("catalogue.", *OPEN))}
    assert ours == closed
    for setting in listed.values():
        assert len(setting.meaning) > 3, setting.key
        assert setting.kind, setting.key


def test_a_block_or_a_key_can_be_asked_for():
    assert all(s.key.startswith("phase2.ppo.") for s in settings("phase2.ppo"))
    (found,) = settings("phase2.ppo.n_envs")
    assert (found.default, found.kind) == (64, "whole number, at least 1")
    (choice,) = settings("limits.stop_loss")
    assert choice.kind == "equity | price | off"
    assert settings("catalogue.instruments.<name>.group")[0].default is None


def test_an_unknown_key_is_refused_with_a_hint():
    with pytest.raises(ConfigError, match=r"Did you mean `phase1\.timesteps`\?"):
        settings("phase1.timestep")


def test_differences_are_exactly_what_was_changed():
    spec = load_pipeline("default")
    other = load_pipeline("default", overrides=["seed=3", "data.planted={edge_scale: 0.5}"])
    assert differences(spec, spec) == ()
    assert {k: (a, b) for k, a, b in differences(spec, other)} == {
        "seed": (0, 3),
        "data.planted": ({}, None),
        "data.planted.edge_scale": (None, 0.5),
    }
