"""Daily series written by an evaluation give a later comparison the numbers that the evaluation itself had."""

import numpy as np
import pandas as pd
import pytest

from mtquant.context import Streams
from mtquant.errors import StoreError
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.days import DAYS, Scale, paired_gains, read_days, write_days
from mtquant.evaluation.series import by_day
from tests.evaluation.made import UNIT_RISK, made_measuring, made_result


def test_what_was_written_is_read_back(tmp_path):
    results = [made_result("phase1", 1, lengths=(300, 200)), made_result("flat", 2, size=0.0, lengths=(300, 200))]
    assessor = Assessor(results, made_measuring(), Streams(0))
    write_days(tmp_path / DAYS, results, assessor.clock, made_measuring(), "test")
    record = read_days(tmp_path / DAYS)
    assert record.scale == Scale("test", 260.0, UNIT_RISK, 20.0, 0.0)
    assert list(record.series) == ["phase1", "flat"]
    assert record.index["pass"].value_counts().to_dict() == {0: 300, 1: 200}
    assert record.index["day"].iloc[0] == pd.Timestamp(10_000, unit="D", tz="UTC")
    expected = by_day(results[0], assessor.clock, made_measuring())
    found = record.series["phase1"]
    assert found.per_year == expected.per_year
    for before, after in zip(expected.returns + expected.utility, found.returns + found.utility, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_comparison_made_later_is_the_one_the_evaluation_made(tmp_path):
    results = [made_result("later", 3, edge=0.1), made_result("earlier", 4, edge=0.0)]
    assessor = Assessor(results, made_measuring(), Streams(7), samples=50)
    write_days(tmp_path / DAYS, results, assessor.clock, made_measuring(), "test")
    later, earlier = (assessor.assess(result, title=result.name) for result in results)
    record = read_days(tmp_path / DAYS)
    rng = Streams(7).rng("evaluation", "promotion", "later", "earlier")
    gain, sharpe_gain = paired_gains(record.series["later"], record.series["earlier"], UNIT_RISK, 0.0, rng, samples=50)
    promotion = assessor.promotion(later, earlier)
    assert (gain, sharpe_gain) == (promotion.gain, promotion.sharpe_gain)
    assert gain.low > 0.0


def test_a_missing_or_foreign_file_is_an_error(tmp_path):
    with pytest.raises(StoreError, match=r"days\.parquet cannot be read.*mtquant evaluate"):
        read_days(tmp_path / DAYS)
    pd.DataFrame({"x": [1.0]}).to_parquet(tmp_path / DAYS)
    with pytest.raises(StoreError, match="cannot be read"):
        read_days(tmp_path / DAYS)
