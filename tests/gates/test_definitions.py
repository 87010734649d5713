"""The gates as they are shipped: their settings exist and are what they claim."""

import pytest

from mtquant.config.load import load_pipeline
from mtquant.gates.ablation import DEFAULT, VARIANTS, training_of
from mtquant.gates.alone import VOTING
from mtquant.gates.broken import BREAKS, broken_gate
from mtquant.gates.definitions import TARGETS, full_gates, small_gates
from mtquant.gates.desk_gates import TEAMS
from mtquant.gates.desks import DIVIDED, DeskTraining
from mtquant.gates.documents import VOLATILITY
from mtquant.gates.execution import ExecutionTraining
from mtquant.gates.measures import ReportedShare
from mtquant.gates.teams import TeamTraining
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


@pytest.mark.parametrize("gates", [full_gates(), small_gates()], ids=["full", "small"])
def test_gates_learn_as_the_default_profile_does(gates):
    default = load_pipeline("default")
    assert default.phase1.timesteps == 500_000
    assert default.phase3.timesteps == 1_000_000
    for gate in gates:
        if isinstance(gate.training, ExecutionTraining):
            assert gate.training.timesteps == 300_000
            continue
        if isinstance(gate.training, DeskTraining):
            votes, leads = gate.training.mode in VOTING, gate.name.endswith("-lead")
            bars, rivals = DIVIDED if votes and leads else None, leads or not votes
            assert gate.training == DeskTraining(gate.training.mode, TEAMS[gate.training.mode][0], bars, rivals)
            continue
        if isinstance(gate.training, TeamTraining):
            assert gate.training.total_steps == (200_000 if gate.name == "mappo-spread-early" else 2_000_000)
            continue
        spec = load_pipeline("default", None, gate.training.settings)
        if gate.name.startswith("limits"):
            assert spec.phase1.timesteps in (250_000, 500_000)
        else:
            assert spec.phase1.timesteps == (1_000_000 if gate.name == "p1b-spread" else default.phase1.timesteps)
        assert spec.phase1.ppo == default.phase1.ppo
        # The caps of the hidden-regime market want another network for the meta-controller; the rest is the default.
        other = {"learning_rate": 3e-4, "actor_hidden": (64, 64)} if gate.name.startswith("p2-regime") else {}
        assert spec.phase2.ppo == default.phase2.ppo.model_copy(update=other)
        assert (spec.phase2.timesteps, spec.phase2.decision_bars) == (300_000, 5)
        assert spec.phase3 == default.phase3


def test_the_small_set_is_a_part_of_the_full_one():
    full = {gate.name: gate for gate in full_gates()}
    for gate in small_gates():
        same = full[gate.name]
        assert (gate.rule, gate.threshold, gate.measure) == (same.rule, same.threshold, same.measure)
        assert set(gate.seeds) <= set(same.seeds)
        if not gate.name.startswith("limits"):
            assert gate.training == same.training


MUST = {
    "p1-gp-easy": 0.92,
    "p1-gp-easy-lowest": 0.85,
    "p1-gp-easy-sharpe": 1.5,
    "p1b-spread": 0.88,
    "p2-regime-capture": 0.80,
    "p2-regime-sharpe": 1.8,
    "p3-netting-over-alone": 1.15,
    "p3-netting": 0.80,
    "p3-netting-sharpe": 2.0,
    "p3-null-gain": 1.03,
    "p3-null-loss": 0.95,
    "p3-null-bound": 1.02,
    "exec-almgren-chriss": 0.90,
    "mappo-spread-early": 0.25,
    "mappo-spread": 0.50,
    "team-execution": 0.90,
    "team-execution-lead": 0.0,
    "team-risk": 0.90,
    "team-risk-lead": 0.0,
    "team-strategic": 0.80,
    "team-strategic-lead": 0.0,
    "team-tactical": 0.80,
    "team-tactical-lead": 0.0,
    "no-signal-sharpe": 0.0,
    "no-signal-utility": -0.05,
    "limits-ex-ante": 1.0,
    "limits-kupiec": 0.01,
    "limits-christoffersen": 0.01,
    "embedded-p1-forex": 0.90,
    "embedded-p1-commodities": 0.90,
    "embedded-p1-equity": 0.90,
    "embedded-p1-sharpe": 1.5,
    "embedded-p2-over-equal": 1.25,
    "embedded-p2-reference": 0.90,
    "embedded-p2-sharpe": 1.8,
    "embedded-p3-over-p2": 1.15,
    "embedded-p3-joint": 0.78,
    "embedded-p3-sharpe": 2.0,
    "embedded-p3-over-control": 1.0,
    "embedded-p1-max-drawdown": 0.20,
    "embedded-p2-max-drawdown": 0.18,
    "embedded-p3-max-drawdown": 0.15,
    "embedded-final-max-drawdown": 0.15,
    "embedded-p1-win-rate": 0.55,
    "embedded-p2-win-rate": 0.60,
    "embedded-p3-win-rate": 0.65,
    "embedded-final-win-rate": 0.60,
    "embedded-p2-var-compliance": 0.95,
    "embedded-p3-var-compliance": 0.98,
    "embedded-final-var-compliance": 1.0,
    "flat-p2-over-equal": 1.02,
    "flat-p3-over-control": 1.02,
}


def test_thresholds_are_those_that_were_set():
    found = {gate.name: gate.threshold for gate in full_gates() if not gate.name.startswith("embedded-null")}
    assert found == MUST


@pytest.mark.parametrize("entry", BREAKS, ids=lambda entry: entry.gate)
def test_what_is_broken_differs_from_what_is_guarded(entry):
    gate = {gate.name: gate for gate in full_gates()}[entry.gate]
    made = broken_gate(entry)
    assert (made.measure, made.rule, made.threshold) == (gate.measure, gate.rule, gate.threshold)
    if isinstance(gate.training, ExecutionTraining):
        assert made.training.timesteps == 1
        return
    if isinstance(gate.training, TeamTraining | DeskTraining):
        assert made.training.total_steps == 1
        return
    spec, whole = (load_pipeline("default", None, g.training.settings) for g in (made, gate))
    assert spec != whole


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_ablation_resolve_and_differ(variant):
    spec, default = (load_pipeline("default", None, training_of(name).settings) for name in (variant, DEFAULT))
    assert (spec.phase3 != default.phase3) == (variant != DEFAULT)
    assert spec.phase3.timesteps == default.phase3.timesteps == 500_000
    others = [part.model_dump(exclude={"phase3"}) for part in (spec, default)]
    assert others[0] == others[1]


def test_targets_of_the_documents_say_the_horizon_that_is_measured():
    spec = load_pipeline("default")
    assert f"within {spec.environment.episode_length} bars" in TARGETS["max_drawdown"]
    assert f"windows of {spec.evaluation.win_horizon_bars} bars" in TARGETS["win_rate"]
    assert f"at most {spec.limits.max_portfolio_var:.0%}".replace("%", " %") in TARGETS["var_compliance"]
    assert f"{VOLATILITY:.0%}".replace("%", " %") == "10 %"
