"""The limits gates: what they measure holds, and fails where the risk layer is broken on purpose."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.evaluation.coverage import unconditional_coverage
from mtquant.gates.limits import COVERAGE, ForecastCoverage, LimitCompliance, exceedances, strained, within_limits
from mtquant.gates.measures import fresh_paths
from tests.gates.test_measures import finished


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of phase 1 on a small market, with limits that specialists trained so little run into."""
    targets = [f"phase1-{group}" for group in ("forex", "commodities", "equity")]
    return finished(tmp_path_factory.mktemp("store"), targets, position_base=0.5, max_portfolio_var=0.0005)


@pytest.fixture(scope="module")
def strain(run):
    """Fresh paths and what the specialists did on them at the largest budgets."""
    paths = fresh_paths(run)
    return paths, strained(run, paths)


def test_no_limit_is_broken_before_the_fact(run, strain):
    paths, result = strain
    assert within_limits(result, paths).all()
    assert LimitCompliance()(run).value == 1.0


def test_a_risk_layer_that_lets_more_through_is_found(strain):
    paths, result = strain
    assert (result.projection > 0.0).any(), "limits must bind for this to say anything"
    assert not within_limits(replace(result, exposure=1.5 * result.exposure), paths).all()


def test_limits_that_never_bind_prove_nothing(run, monkeypatch):
    def idle(run, paths):
        result = strained(run, paths)
        return replace(result, projection=np.zeros_like(result.projection))

    monkeypatch.setattr("mtquant.gates.limits.strained", idle)
    assert np.isnan(LimitCompliance()(run).value)


@pytest.mark.parametrize("test", COVERAGE)
def test_the_forecast_is_exceeded_as_it_should(run, test):
    assert ForecastCoverage(test)(run).value > 0.01


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_wrong_forecast_is_found(strain, share):
    paths, result = strain
    wrong = replace(result, value_at_risk=share * result.value_at_risk)
    assert unconditional_coverage(exceedances(wrong, paths.planted.truth), 0.05).p < 0.01


def test_what_was_to_be_expected_is_no_loss(strain):
    """Where the generator had known every move, nothing was lost beyond it."""
    paths, result = strain
    close, scale = paths.dataset.market.close, paths.dataset.point_volatility
    moves = np.zeros_like(close)
    moves[:-1] = np.diff(close, axis=0) / scale[:-1]
    foreseen = replace(paths.planted.truth, alpha=moves)
    assert sum(int(p.sum()) for p in exceedances(result, foreseen)) == 0
    assert sum(int(p.sum()) for p in exceedances(result, paths.planted.truth)) > 0
