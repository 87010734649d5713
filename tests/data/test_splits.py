"""Bars by date: what was trained on cannot be evaluated, and the overlap is named."""

from datetime import date

import numpy as np
import pytest

from mtquant.data.splits import Split, Splits, between
from mtquant.errors import DataError
from tests.tiny import tiny_market

SPLITS = Splits(Split("train", ((0, 100),)), Split("validation", ((110, 200),)), Split("test", ((210, 400),)))


def day(number):
    """Return the day of a bar of the tiny market, which has one bar a day from 1970 on."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + number)


def test_days_after_what_was_seen_are_a_split():
    market = tiny_market()
    assert between(market, SPLITS, day(250), day(299)).segments == ((250, 300),)
    assert between(market, SPLITS, day(205), None).segments == ((205, 400),)
    assert between(market, SPLITS, day(104), day(106)).segments == ((104, 107),)


def test_each_history_has_a_segment():
    market = tiny_market()
    splits = Splits(Split("train", ((0, 50),)), Split("validation", ()), Split("test", ((60, 400),)))
    assert between(market, splits, day(150), day(249)).segments == ((150, 200), (200, 250))


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (None, day(10), "11 of them, 1970-01-01 to 1970-01-11, belong to the train split"),
        (day(90), day(250), "10 of them, 1970-04-01 to 1970-04-10, belong to the train split"),
        (day(190), None, "10 of them, 1970-07-10 to 1970-07-19, belong to the validation split"),
    ],
)
def test_an_overlap_is_refused_and_named(first, last, told):
    with pytest.raises(DataError, match=told) as refused:
        between(tiny_market(), SPLITS, first, last)
    assert "Ask for bars from 1970-07-30 on" in str(refused.value)


def test_days_without_bars_are_an_error():
    with pytest.raises(DataError, match="no bars from 1999-01-01"):
        between(tiny_market(), SPLITS, date(1999, 1, 1), None)
    assert np.array_equal(tiny_market().time[:2], [0, 86_400_000_000_000])
