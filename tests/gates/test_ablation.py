"""The ablation's judgement, without any training."""

import json
import math
from dataclasses import dataclass

import pytest

from mtquant.evaluation.statistics import Interval
from mtquant.gates import ablation
from mtquant.gates.ablation import DEFAULT, FRESH, SEEDS, VARIANTS, ablation_table, mean_over_seeds, run_ablation


@dataclass(frozen=True)
class Run:
    """Stands for a finished run."""

    settings: tuple[str, ...]
    seed: int


def found(monkeypatch, worth):
    """Return the ablation where a variant is worth `worth(name, seed)`."""
    names = {ablation.training_of(name).settings: name for name in VARIANTS}

    def measure(run):
        value = worth(names[run.settings], run.seed)
        return Interval(value, value - 0.01, value + 0.01)

    monkeypatch.setattr(ablation, "WORTH", measure)
    return run_ablation(lambda training, seed: Run(training.settings, seed), lambda _: None)


def test_a_default_that_is_worse_on_fresh_seeds_does_not_pass(monkeypatch):
    result = found(monkeypatch, lambda name, seed: 1.2 + 0.2 * (name == "sequential") + 0.001 * seed)
    assert (result.best.name, result.rows[0].name, result.passed) == ("sequential", "sequential", False)
    assert result.gain.value == pytest.approx(0.2)
    assert "THE DEFAULT IS WORSE" in ablation_table(result)


def test_a_variant_that_was_lucky_once_does_not_count(monkeypatch):
    result = found(monkeypatch, lambda name, seed: 1.2 + 0.2 * (name == "sequential" and seed in SEEDS) + 0.001 * seed)
    assert (result.best.name, result.passed) == ("sequential", True)
    assert result.gain.value == pytest.approx(0.0)


def test_the_table_shows_every_variant_and_seed(monkeypatch):
    result = found(monkeypatch, lambda name, seed: 1.0 + (name == DEFAULT) + 0.01 * seed)
    assert {row.name for row in result.rows} == set(VARIANTS)
    assert all(len(row.found) == len(SEEDS) for row in result.rows)
    assert len(result.best.found) == len(FRESH) and not set(SEEDS) & set(FRESH)
    assert [row.mean for row in result.rows] == sorted((row.mean for row in result.rows), reverse=True)
    lines = ablation_table(result).splitlines()
    assert lines[1].startswith(DEFAULT) and "2.000  2.010  2.020" in lines[1]
    assert json.loads(json.dumps(result.values()))["passed"] is True


def test_the_interval_is_student_s():
    found = mean_over_seeds([1.0, 2.0, 3.0])
    assert (found.value, found.high - found.value) == (2.0, pytest.approx(4.302653 / math.sqrt(3.0), rel=1e-6))
