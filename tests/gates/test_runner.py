"""Judging, results and the command around gates, without any training."""

import json
import math
import time
from dataclasses import dataclass, field, replace

import pytest

from mtquant.errors import TrainingError
from mtquant.evaluation.statistics import Interval
from mtquant.gates.__main__ import gates
from mtquant.gates.gate import Gate, Rule
from mtquant.gates.runner import GateResult, run_gates, sentence, table, write_results
from mtquant.gates.trainings import Training

TRAINING = Training(("phase1.timesteps=1",), phase=1)
KEYS = {"gate", "value", "interval", "threshold", "passed", "seeds", "commit", "config_digest", "unit_keys"}


@dataclass(frozen=True)
class Run:
    """Stands for a finished run."""

    training: Training
    seed: int
    config_digest: str = "settings"

    @property
    def keys(self):
        return (f"dataset {self.seed}", "shared")


@dataclass
class Trainings:
    """Counts what is trained."""

    done: list = field(default_factory=list)

    def __call__(self, training, seed):
        self.done.append((training, seed))
        return Run(training, seed)


def gate(rule=Rule.MEDIAN, threshold=0.9, values=(0.95, 0.85, 0.91), half=0.01, **changes):
    """Return a gate that finds `values` by seed."""

    def measure(run):
        value = values[run.seed]
        return Interval(value, value - half, value + half)

    made = Gate("made", "a claim", TRAINING, measure, rule, threshold, tuple(range(len(values))))
    return replace(made, **changes)


def judged(made):
    return run_gates([made], Trainings(), lambda _: None)[0]


@pytest.mark.parametrize(
    ("rule", "threshold", "values", "passed"),
    [
        (Rule.MEDIAN, 0.9, (0.95, 0.5, 0.91), True),
        (Rule.MEDIAN, 0.9, (0.99, 0.89, 0.89), False),
        (Rule.MEDIAN, 0.9, (0.9,), True),
        (Rule.LOWEST, 0.85, (0.85, 0.99), True),
        (Rule.LOWEST, 0.85, (0.99, 0.84), False),
        (Rule.LOWEST, 0.85, (0.99, math.nan), False),
        (Rule.AT_MOST, 1.02, (1.0, 1.5, 1.02), True),
        (Rule.AT_MOST, 1.02, (1.0, 1.5, 1.03), False),
        (Rule.LOW_ENDS, 1.0, (1.02, 1.5), True),
        (Rule.LOW_ENDS, 1.0, (1.005, 1.5), False),
        (Rule.NOT_ABOVE, 0.0, (0.009, -0.5), True),
        (Rule.NOT_ABOVE, 0.0, (0.011, -0.5), False),
    ],
)
def test_rules(rule, threshold, values, passed):
    assert judged(gate(rule, threshold, values)).passed is passed


@pytest.mark.parametrize("rule", list(Rule))
def test_what_could_not_be_measured_does_not_pass(rule):
    for threshold in (-10.0, 10.0):
        assert not judged(gate(rule, threshold, (math.nan,), half=math.nan)).passed


def test_equal_trainings_are_done_once():
    other = Training(("phase1.timesteps=2",), phase=1)
    trainings = Trainings()
    run_gates([gate(), gate(name="second"), gate(training=other)], trainings, lambda _: None)
    assert trainings.done == [(t, s) for t in (TRAINING, other) for s in range(3)]


def test_trainings_side_by_side_give_what_one_after_the_other_gives():
    both = [run_gates([gate(), gate(name="second")], Trainings(), lambda _: None, jobs) for jobs in (1, 4)]
    assert [r.values() for r in both[0]] == [r.values() for r in both[1]]


def test_after_a_failure_nothing_more_is_begun():
    begun = []

    def failing(training, seed):
        begun.append(seed)
        if seed == 1:
            raise TrainingError("failed")
        time.sleep(0.05)
        return Run(training, seed)

    with pytest.raises(TrainingError):
        run_gates([gate(values=(0.9,) * 50)], failing, lambda _: None)
    assert len(begun) < 10


def test_results_are_a_list_with_the_agreed_keys(tmp_path):
    found = [judged(gate()), judged(gate(values=(math.nan,), half=math.nan, name="unknown"))]
    path = tmp_path / "new" / "gates.json"
    write_results(found, path)
    first, second = json.loads(path.read_text())
    assert set(first) >= KEYS
    assert (first["gate"], first["value"], first["seeds"]) == ("made", 0.91, [0, 1, 2])
    assert first["interval"] == pytest.approx([0.84, 0.96])
    assert first["passed"] is True
    assert first["unit_keys"] == ["dataset 0", "dataset 1", "dataset 2", "shared"]
    assert second["value"] is None
    assert second["interval"] == [None, None]
    assert second["passed"] is False


def test_people_see_which_gate_failed():
    met, failed = judged(gate()), judged(gate(threshold=2.0, name="too-high"))
    assert sentence(met).endswith("met") and "NOT MET" in sentence(failed)
    lines = table([met, failed]).splitlines()
    assert len(lines) == 3
    assert "NOT MET" in lines[2] and "NOT MET" not in lines[1]
    assert len({line.index(word) for line, word in zip(lines, ("claim", "a claim", "a claim"), strict=True)}) == 1


def test_the_result_names_the_commit():
    assert isinstance(judged(gate()), GateResult)
    assert judged(gate()).values()["commit"] == judged(gate()).commit


def test_unknown_gates_are_refused(tmp_path):
    with pytest.raises(Exception, match="p1-gp-easy"):
        gates(only=["p1-gp-eazy"], out=tmp_path / "gates.json")
    assert not (tmp_path / "gates.json").exists()
