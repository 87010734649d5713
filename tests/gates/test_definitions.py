"""The gates as they are shipped: their settings exist and are what they claim."""

import pytest

from mtquant.config.load import load_pipeline
from mtquant.gates.definitions import full_gates, small_gates
from mtquant.gates.measures import ReportedShare
from mtquant.gates.trainings import Training
from mtquant.synthetic import SYNTHETIC

EVERY = (*full_gates(), *small_gates())


@pytest.mark.parametrize("gates", [full_gates(), small_gates()], ids=["full", "small"])
def test_names_are_unique(gates):
    names = [gate.name for gate in gates]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "training", sorted({g.training for g in EVERY if isinstance(g.training, Training)}, key=str), ids=str
)
def test_settings_resolve_on_a_planted_market(training):
    spec = load_pipeline("default", None, training.settings)
    assert spec.data.source in SYNTHETIC
    groups = {getattr(gate.measure, "group", None) for gate in EVERY if gate.training == training} - {None}
    assert groups <= set(spec.groups)


def test_a_report_is_read_only_where_one_is_written():
    for gate in EVERY:
        if isinstance(gate.measure, ReportedShare):
            assert isinstance(gate.training, Training) and gate.training.phase is None


def test_full_gates_use_the_budgets_of_the_default_profile():
    default = load_pipeline("default")
    for gate in full_gates():
        assert len(gate.seeds) == 3
        if gate.name.startswith("exec-"):
            assert gate.training.timesteps == 300_000
            continue
        if gate.name == "mappo-spread":
            assert (gate.training.total_steps, gate.threshold) == (2_000_000, 0.50)
            continue
        spec = load_pipeline("default", None, gate.training.settings)
        assert spec.phase1.timesteps == (1_000_000 if gate.name == "p1b-spread" else default.phase1.timesteps)
        assert spec.phase1.ppo == default.phase1.ppo
        # The hidden-regime market has no signals in its prices; its meta learns more slowly, the rest is the default.
        slower = {"learning_rate": 3e-4} if gate.name.startswith("p2-regime") else {}
        assert spec.phase2.ppo == default.phase2.ppo.model_copy(update=slower)
        assert (spec.phase2.timesteps, spec.phase2.decision_bars) == (300_000, 5)
        assert spec.phase3 == default.phase3


def test_gates_on_other_problems_than_the_embedded_market_are_the_same_in_both_sets():
    small, full = ({gate.name: gate for gate in gates} for gates in (small_gates(), full_gates()))
    for name, threshold in (
        ("p1b-spread", 0.88),
        ("p2-regime-capture", 0.80),
        ("p2-regime-sharpe", 1.8),
        ("exec-almgren-chriss", 0.90),
    ):
        assert small[name].training == full[name].training
        assert small[name].threshold == full[name].threshold == threshold
        assert (small[name].seeds, full[name].seeds) == ((0,), (0, 1, 2))
