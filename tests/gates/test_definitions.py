"""The gates as they are shipped: their settings exist and are what they claim."""

import pytest

from mtquant.config.load import load_pipeline
from mtquant.gates.definitions import full_gates, small_gates
from mtquant.gates.measures import ReportedShare
from mtquant.synthetic import SYNTHETIC

EVERY = (*full_gates(), *small_gates())


@pytest.mark.parametrize("gates", [full_gates(), small_gates()], ids=["full", "small"])
def test_names_are_unique(gates):
    names = [gate.name for gate in gates]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("training", sorted({gate.training for gate in EVERY}, key=str), ids=str)
def test_settings_resolve_on_a_planted_market(training):
    spec = load_pipeline("default", None, training.settings)
    assert spec.data.source in SYNTHETIC
    groups = {getattr(gate.measure, "group", None) for gate in EVERY if gate.training == training} - {None}
    assert groups <= set(spec.groups)


def test_a_report_is_read_only_where_one_is_written():
    for gate in EVERY:
        assert not isinstance(gate.measure, ReportedShare) or gate.training.phase is None


def test_full_gates_use_the_budgets_of_the_default_profile():
    default = load_pipeline("default")
    for gate in full_gates():
        assert len(gate.seeds) == 3
        spec = load_pipeline("default", None, gate.training.settings)
        assert spec.phase1.timesteps == default.phase1.timesteps
        assert spec.phase1.ppo == default.phase1.ppo
        assert (spec.phase2, spec.phase3) == (default.phase2, default.phase3)
