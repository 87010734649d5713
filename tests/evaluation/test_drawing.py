"""Axes: every length of a record has its dates."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.evaluation.charts import positions
from mtquant.evaluation.drawing import date_axis, figure_of, png
from mtquant.evaluation.series import DAY
from tests.evaluation.made import made_result


@pytest.mark.parametrize("days", [2, 2.9, 40, 88, 300, 950, 1060, 1090, 4000, 9000])
def test_a_record_of_any_length_has_dates(days):
    result = made_result("a", 1, bars=100, passes=1)
    start = np.int64(15_000 * DAY)
    result = replace(result, time=(start + np.linspace(0.0, days * DAY, 100)).astype(np.int64)[:, None])
    x, when = positions(result)
    assert when.dates
    assert x[[0, -2]] == pytest.approx([15_000.0, 15_000.0 + days])
    figure, axes = figure_of()
    date_axis(axes)
    axes.plot(x, np.arange(101.0))
    assert png(figure)[:4] == b"\x89PNG"
    assert 2 <= len([label for label in axes.get_xticklabels() if label.get_text()]) <= 9
