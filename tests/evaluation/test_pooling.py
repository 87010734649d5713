"""Folds side by side: passes stay what they were, paths of combinations are put together in order, files read back."""

from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pytest

from mtquant import metrics
from mtquant.data.folds import paths_of
from mtquant.errors import StoreError
from mtquant.evaluation.pooling import path_sharpes, pool, pooled_measuring, some_passes, strung
from mtquant.evaluation.saving import load_result, result_names, save_results
from mtquant.evaluation.series import common_clock
from tests.evaluation.made import made_measuring, made_result


def same(one, other, *without):
    for field in fields(one):
        if field.name not in without:
            a, b = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


def test_passes_of_all_folds_lie_side_by_side():
    folds = [made_result("a", 1, bars=120, meta=True), made_result("b", 2, bars=200, passes=1, meta=True)]
    found = pool("both", folds)
    assert found.alive.shape == (200, 3)
    assert found.name == "both"
    assert not found.alive[120:, :2].any()
    assert (found.equity[120:, :2] == found.equity[120, :2]).all()
    for first, fold in ((0, folds[0]), (2, folds[1])):
        bars, passes = fold.alive.shape
        part = some_passes(found, range(first, first + passes))
        np.testing.assert_array_equal(part.returns[:bars], fold.returns)
        np.testing.assert_array_equal(part.budgets[:bars], fold.budgets)
    assert [len(day) for day in common_clock([found]).days()] == [120, 120, 200]


def test_what_one_fold_does_not_have_the_pool_has_not():
    found = pool("both", [made_result("a", 1, meta=True), made_result("b", 2)])
    assert found.budgets is None


def test_folds_after_each_other_are_one_pass():
    folds = [made_result("a", 1, bars=120, meta=True, passes=1), made_result("b", 2, bars=200, passes=1, meta=True)]
    found = strung(pool("both", folds))
    assert found.alive.shape == (320, 1) and found.alive.all()
    for field in ("returns", "exposure", "budgets", "time"):
        expected = np.concatenate([getattr(fold, field)[fold.alive] for fold in folds])
        np.testing.assert_allclose(getattr(found, field)[:, 0], expected, rtol=1e-9, atol=1e-15)
    growth = np.prod([fold.equity[-1, 0] / fold.equity[0, 0] for fold in folds])
    assert found.equity[-1, 0] / found.equity[0, 0] == pytest.approx(growth)


def test_settings_of_folds_are_averaged():
    one = made_measuring()
    other = replace(one, unit_risk=3.0 * one.unit_risk, correlation=np.eye(5))
    found = pooled_measuring([one, other])
    assert found.unit_risk == pytest.approx(2.0 * one.unit_risk)
    np.testing.assert_allclose(found.correlation, 0.5 * (one.correlation + np.eye(5)))


def test_a_path_goes_through_every_group_once():
    """Each pass is told apart by its mean: combination * 10 + group."""
    groups, tested = 4, list(combinations(range(4), 2))
    noise = np.random.default_rng(0).standard_normal(500)
    daily = [noise + 10.0 * c + g for c, pair in enumerate(tested) for g in pair]
    paths = paths_of(groups, 2)
    found = path_sharpes(daily, paths, tested, 1.0)
    expected = [
        float(metrics.sharpe(np.concatenate([noise + 10.0 * c + g for g, c in enumerate(path)]), 1.0)) for path in paths
    ]
    assert found == pytest.approx(expected)
    assert len(found) == 3


def test_results_are_read_back(tmp_path):
    results = [made_result("phase2", 1, meta=True, lengths=(300, 200)), made_result("momentum", 2)]
    save_results(tmp_path, results)
    assert result_names(tmp_path) == ("momentum", "phase2")
    for result in results:
        same(load_result(tmp_path, result.name), result)


def test_a_damaged_result_is_an_error(tmp_path):
    save_results(tmp_path, [made_result("phase2", 1)])
    path = tmp_path / "results" / "phase2.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"phase2\.npz cannot be read.*mtquant resume"):
        load_result(tmp_path, "phase2")
    with pytest.raises(StoreError, match="cannot be read"):
        load_result(tmp_path, "phase9")
