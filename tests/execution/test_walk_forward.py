"""A walk-forward on bars of one history: folds are units, the last of them pools what the others measured."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mtquant.config.agents import DataSpec, EvaluationSpec, WalkForwardSpec
from mtquant.errors import DataError
from mtquant.evaluation.days import DAYS, read_days
from mtquant.execution.attempt import run_attempt
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.sources import open_source
from mtquant.execution.work import WORK
from mtquant.pipeline import REPORT
from mtquant.store.digests import digest_json
from mtquant.store.trials import TRIALS
from mtquant.store.units import Unit
from tests.execution.real import GROUPS, small_spec

BARS = 1400


@pytest.fixture(scope="module", autouse=True)
def fixed_code():
    """Let the code have one digest, so that an edit while the tests run does not look like a defect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtquant.pipeline.code_versions", lambda names: dict.fromkeys(names, "same"))
        yield


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """A folder of daily bars that are random walks."""
    folder = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    days = pd.bdate_range("2010-01-04", periods=BARS)
    for symbol in GROUPS:
        close = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(BARS)))
        start = np.concatenate([[100.0], close[:-1]])
        frame = pd.DataFrame(
            {
                "time": days.strftime("%Y-%m-%d"),
                "open": start,
                "high": np.maximum(start, close) * 1.001,
                "low": np.minimum(start, close) * 0.999,
                "close": close,
                "volume": 100.0,
            }
        )
        frame.to_csv(folder / f"{symbol}_D1.csv", index=False)
    return folder


def spec(bars, **walk):
    return small_spec(
        data=DataSpec(source=str(bars), timeframe="D1", embargo_bars=0),
        walk_forward=WalkForwardSpec(enabled=True, folds=2, validation_fraction=0.4, **walk),
        evaluation=EvaluationSpec(bootstrap_samples=20, baselines=("flat", "equal_weight")),
    )


@pytest.fixture(scope="module")
def finished(bars, tmp_path_factory):
    """A store in which a walk-forward of two folds ran undisturbed."""
    root = tmp_path_factory.mktemp("store")
    run = prepare_run(root, record_run(root, spec(bars), ["train"], "direct", (REPORT,)))
    for unit in run.units:
        run_attempt(root, run.record.run_id, unit.name, WORK)
    return root, {unit.name: Unit(root, unit) for unit in run.units}


def test_folds_are_apart_by_warm_up_and_horizon(bars):
    source = open_source(spec(bars))
    assert [fold.test.segments for fold in source.folds] == [((700, 1050),), ((1050, 1400),)]
    for fold in source.folds:
        ends = [fold[name].segments[0] for name in ("train", "validation", "test")]
        assert [after[0] - before[1] for before, after in pairwise(ends)] == [160, 160]
    planted = small_spec(walk_forward=WalkForwardSpec(enabled=True))
    with pytest.raises(DataError, match="4 histories"):
        open_source(planted)


def test_the_pooled_report_holds_what_the_folds_measured(finished):
    _, units = finished
    pooled = units[REPORT].outputs
    report = json.loads((pooled / "report.json").read_bytes())
    assert [row["fold"] for row in report["folds"]] == [1, 2]
    assert report["folds"][0]["test"] == "2012-09-10 to 2014-01-10"
    assert report["phases"][0]["summary"]["passes"] == 2.0
    trained = {f"phase1-{group}" for group in set(GROUPS.values())} | {"phase2-meta", "phase3-joint"}
    assert {curve["unit"] for curve in report["curves"]} == trained
    record = read_days(pooled / DAYS)
    for number in (1, 2):
        own = read_days(units[f"{REPORT}.fold{number}"].outputs / DAYS)
        row = report["folds"][number - 1]
        for name in ("phase1", "phase2", "phase3", "equal_weight"):
            np.testing.assert_array_equal(
                record.series[name].returns[number - 1], own.series[name].returns[0][: len(own.series[name].returns[0])]
            )
        chosen = record.series[f"phase{row['chosen']}"].returns[number - 1]
        np.testing.assert_array_equal(record.series["chosen"].returns[number - 1], chosen)
        measured = json.loads((units[f"{REPORT}.fold{number}"].outputs / "report.json").read_bytes())
        assert measured["traded"] == row["chosen"]
        for phase in measured["phases"]:
            assert row["sharpe"][phase["name"]] == pytest.approx(phase["summary"]["sharpe"], rel=0.02)


def test_a_walk_forward_is_one_trial(finished):
    root, units = finished
    trials = list((root / TRIALS).rglob("*.json"))
    joint = [units[f"phase3-joint.fold{number}"].spec.key for number in (1, 2)]
    assert [json.loads(path.read_bytes())["policy"] for path in trials] == [digest_json(joint)]
    found = json.loads((units[REPORT].outputs / "trials.json").read_bytes())
    assert found["skill"]["trials"] == found["listed"] == 1
    assert not (units[f"{REPORT}.fold1"].outputs / "trials.json").exists()


def test_policies_of_different_folds_learned_from_different_bars(finished):
    _, units = finished
    first, second = (units[f"phase1-forex.fold{n}"].done().outputs for n in (1, 2))
    assert first["forex/weights"] != second["forex/weights"]
    bars = [units[f"dataset-market.fold{n}"].done().metrics["train_bars"] for n in (1, 2)]
    assert bars[0] < bars[1]
