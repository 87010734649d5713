"""The control without a hierarchy is a unit like any other: it resumes exactly and stands in the report."""

import json

import pytest

from mtquant.config.agents import EvaluationSpec, PPOSpec, SingleAgentSpec
from mtquant.errors import Preempted
from mtquant.execution.attempt import run_attempt
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.work import WORK
from mtquant.store.units import Unit
from tests.execution.real import small_spec


@pytest.fixture(scope="module", autouse=True)
def fixed_code():
    """Let the code have one digest, so that an edit while the tests run does not look like a defect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtquant.pipeline.code_versions", lambda names: dict.fromkeys(names, "same"))
        yield


def prepared(root, targets):
    ppo = PPOSpec(n_envs=4, n_steps=20, batch_size=40, n_epochs=2, actor_hidden=(), critic_hidden=(8,))
    spec = small_spec(
        single_agent=SingleAgentSpec(enabled=True, timesteps=400, ppo=ppo),
        evaluation=EvaluationSpec(
            bootstrap_samples=20,
            baselines=("flat",),
            random_draws=10,
            attribution=False,
            robustness=False,
            paired_episodes=2,
        ),
    )
    return prepare_run(root, record_run(root, spec, ["train"], "direct", targets))


def finish(root, run):
    for unit in run.units:
        run_attempt(root, run.record.run_id, unit.name, WORK)
    return {unit.name: Unit(root, unit) for unit in run.units}


def test_it_resumes_to_the_same_weights(tmp_path):
    whole = finish(tmp_path / "a", prepared(tmp_path / "a", ("single-agent",)))["single-agent"].done()
    root = tmp_path / "b"
    run = prepared(root, ("single-agent",))
    run_attempt(root, run.record.run_id, "dataset-market", WORK)
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Preempted):
        run_attempt(root, run.record.run_id, "single-agent", WORK, stop)
    again = run_attempt(root, run.record.run_id, "single-agent", WORK)
    assert again.attempts == 2
    assert again.outputs == whole.outputs
    assert set(whole.outputs) == {"single/weights", "history"}


def test_it_stands_in_the_report(tmp_path):
    units = finish(tmp_path, prepared(tmp_path, ("evaluate-report",)))
    report = json.loads((units["evaluate-report"].outputs / "report.json").read_bytes())
    (single,) = [entry for entry in report["controls"] if entry["name"] == "single"]
    assert single["title"].startswith("Control: one policy")
    assert [p["earlier"] for p in report["promotions"]][-1] == single["title"]
    assert report["attribution"] is None
    assert report["luck"]["draws"] == 10
