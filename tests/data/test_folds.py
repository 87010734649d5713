"""Folds: nothing is tested that was seen, gaps hold, and combinations are those of skfolio."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skfolio.model_selection import CombinatorialPurgedCV

from mtquant.config.walk_forward import WalkForwardSpec
from mtquant.data.folds import combinations_of, make_folds, paths_of
from mtquant.data.splits import NAMES
from mtquant.errors import DataError


def spec(**changes):
    return WalkForwardSpec(enabled=True, **changes)


@given(st.integers(1000, 3000), st.integers(2, 6), st.integers(0, 30), st.sampled_from(["anchored", "rolling"]))
def test_a_walk_forward_tests_what_comes_after(bars, folds, gap, scheme):
    found = make_folds(bars, spec(folds=folds, scheme=scheme), gap)
    assert len(found) == folds
    tested = [fold.test.segments[0] for fold in found]
    assert tested[0][0] == int(bars * 0.5)
    assert tested[-1][1] == bars
    assert all(before[1] == after[0] for before, after in pairwise(tested))
    for fold in found:
        (begin, trained), (first, chosen), (start, _) = (fold[name].segments[0] for name in NAMES)
        assert trained + gap == first
        assert chosen + gap == start
        assert begin == 0 or scheme == "rolling"
    spans = {fold.test.segments[0][0] - fold.train.segments[0][0] for fold in found}
    assert len(spans) == (1 if scheme == "rolling" else folds)


def test_blocks_that_are_too_short_are_refused():
    with pytest.raises(DataError, match=r"Fold 1 would have .* validation bars.*walk_forward\.folds"):
        make_folds(500, spec(), 100)
    with pytest.raises(DataError, match=r"does not survive.*walk_forward\.groups"):
        make_folds(300, spec(scheme="combinatorial"), 60)


@pytest.mark.parametrize(("groups", "tested"), [(3, 2), (6, 2), (6, 3), (10, 8)])
@pytest.mark.parametrize(("bars", "purge", "embargo"), [(200, 0, 0), (203, 5, 0), (217, 3, 7)])
def test_combinations_are_those_of_skfolio(groups, tested, bars, purge, embargo):
    theirs = CombinatorialPurgedCV(groups, tested, purged_size=purge, embargo_size=embargo)
    ours = combinations_of(bars, groups, tested, purge=purge, embargo=embargo)
    assert len(ours) == theirs.n_splits == comb(groups, tested)
    for (train, tests), own in zip(theirs.split(np.zeros((bars, 1))), ours, strict=True):
        np.testing.assert_array_equal(_bars(own.train), train)
        assert [tuple(range(*r)) for r in own.test] == [tuple(index) for index in tests]
    np.testing.assert_array_equal(paths_of(groups, tested), theirs.recombined_paths.T)
    assert len(paths_of(groups, tested)) == theirs.n_test_paths


@given(st.integers(1000, 2000), st.integers(3, 7), st.integers(0, 20))
def test_a_combination_trains_on_nothing_near_its_test(bars, groups, gap):
    found = make_folds(bars, spec(scheme="combinatorial", groups=groups), gap)
    assert len(found) == comb(groups, 2)
    for fold in found:
        seen, tested = _bars(fold.train.segments), _bars(fold.test.segments)
        chosen = _bars(fold.validation.segments)
        for one, other in ((seen, tested), (chosen, tested), (seen, chosen)):
            assert np.abs(one[:, None] - other[None, :]).min() > gap
        assert len(chosen) == pytest.approx(0.2 * (len(seen) + len(chosen)), abs=2 + gap)


def test_every_path_tests_every_group_once():
    paths = paths_of(6, 2)
    assert paths.shape == (5, 6)
    assert np.bincount(paths.ravel(), minlength=15).tolist() == [2] * 15


def _bars(ranges):
    return np.concatenate([np.arange(start, stop) for start, stop in ranges])
