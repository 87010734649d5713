"""What gates measure: a leak shows, noise does not, and a trained run gives the report's figures."""

import math

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.errors import StoreError, UsageError
from mtquant.evaluation.oracles.noise_free import share
from mtquant.execution.attempt import run_attempt
from mtquant.execution.preparation import prepare_run, record_run
from mtquant.execution.work import WORK
from mtquant.gates.definitions import full_gates
from mtquant.gates.measures import (
    LossShare,
    RealisedSharpe,
    ReportedShare,
    SpecialistShare,
    bundle_of,
    fresh_paths,
    sharpe_over_paths,
)
from mtquant.gates.shares import specialist_scores
from mtquant.gates.trainings import FinishedRun
from tests.execution.real import small_spec


def test_a_policy_that_sees_the_future_is_found_out():
    moves = Streams(1).rng("moves").standard_normal((2, 500, 40))
    found = sharpe_over_paths(0.01 * np.abs(moves), 260.0)
    assert found.low > 10.0


def test_noise_is_within_two_standard_errors_about_as_often_as_it_should():
    rng = Streams(2).rng("noise")
    found = [sharpe_over_paths(0.01 * rng.standard_normal((1, 250, 32)), 260.0) for _ in range(300)]
    above = np.mean([one.low > 0.0 for one in found])
    assert 0.005 < above < 0.05


def test_instruments_that_move_together_count_once():
    alone = 0.01 * Streams(3).rng("alone").standard_normal((1, 250, 64))
    one, three = sharpe_over_paths(alone, 260.0), sharpe_over_paths(np.repeat(alone, 3, axis=0), 260.0)
    assert (three.low, three.high) == pytest.approx((one.low, one.high))


def test_never_trading_earns_nothing():
    assert sharpe_over_paths(np.zeros((1, 100, 4)), 260.0).high == 0.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of phase 1 on a small market."""
    return finished(tmp_path_factory.mktemp("store"), ["phase1-forex"])


def finished(root, targets, **limits):
    """Return a finished run of the small pipeline, as far as `targets`, with other `limits`."""
    spec = small_spec()
    evaluation = spec.evaluation.model_copy(update={"paired_episodes": 8, "bootstrap_samples": 20})
    spec = spec.model_copy(update={"evaluation": evaluation, "limits": spec.limits.model_copy(update=limits)})
    prepared = prepare_run(root, record_run(root, spec, ["train"], "direct", targets))
    for unit in prepared.units:
        run_attempt(root, prepared.record.run_id, unit.name, WORK)
    return FinishedRun(root, prepared.record)


def test_the_specialist_is_scored_on_fresh_paths_of_its_market(run):
    spec = run.spec
    paths = fresh_paths(run)
    assert len(paths.split.segments) == spec.evaluation.paired_episodes
    assert paths.planted.truth.params.impact == spec.catalogue.instruments["EURUSD"].impact
    found = SpecialistShare("forex")(run)
    assert math.isfinite(found.value)
    assert found == share(*specialist_scores(paths, bundle_of(run, "forex")))


def test_measures_of_a_market_without_signal_are_finite(run):
    sharpe, loss = RealisedSharpe("forex")(run), LossShare("forex", "embedded")(run)
    assert sharpe.low < sharpe.value < sharpe.high
    assert loss.low < loss.value < loss.high
    # On the market it was trained on, its loss share is its share of the optimum, up to the optimum's own paths.
    assert loss.value == pytest.approx(SpecialistShare("forex")(run).value, abs=0.05)


def test_a_report_that_does_not_exist_is_an_error(run):
    with pytest.raises(UsageError, match="evaluate-report"):
        ReportedShare("Phase 2")(run)


@pytest.mark.slow
def test_the_report_has_every_share_that_gates_read(tmp_path):
    run = finished(tmp_path, ["evaluate-report"])
    reported = [gate for gate in full_gates() if isinstance(gate.measure, ReportedShare)]
    assert len(reported) == 5
    for gate in reported:
        assert not math.isinf(gate.measure(run).value), gate.name
    with pytest.raises(StoreError, match="no share `Phase 4`"):
        ReportedShare("Phase 4")(run)
