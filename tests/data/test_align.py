"""One clock without invented bars."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.context import Streams
from mtquant.data.align import align
from mtquant.data.bars import Bars
from mtquant.errors import ConfigError, DataError
from tests.data.make import DAY, HOUR, as_bars, walk, weekdays


def gappy(symbol: str, seed: int, bars: int = 300, late: int = 0, early: int = 0) -> Bars:
    rng = Streams(seed).rng("gaps", symbol)
    keep = rng.random(bars) > 0.2
    keep[[0, late, bars - 1 - early, bars - 1]] = True
    keep[:late] = False
    keep[bars - early :] = False
    time = weekdays(bars)
    return as_bars(symbol, time[keep], walk(bars, seed)[keep])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), late=st.integers(0, 40), early=st.integers(0, 40))
def test_bars_are_kept_and_gaps_are_marked(seed, late, early):
    bars = [gappy("A", seed, late=late), gappy("B", seed + 1, early=early), gappy("C", seed + 2)]
    market = align(bars)
    assert market.time[0] == max(b.time[0] for b in bars) and market.time[-1] <= min(b.time[-1] for b in bars)
    assert market.tradable.any(axis=1).all()
    for k, one in enumerate(bars):
        inside = (one.time >= market.time[0]) & (one.time <= market.time[-1])
        assert np.array_equal(market.time[market.tradable[:, k]], one.time[inside])
        assert np.array_equal(market.ohlcv[market.tradable[:, k], k], one.ohlcv[inside])
        for t in np.flatnonzero(~market.tradable[:, k]):
            last = one.ohlcv[one.time < market.time[t]][-1, 3]
            assert market.ohlcv[t, k].tolist() == [last] * 4 + [0.0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(60, 299))
def test_later_bars_change_no_earlier_row(seed, cut):
    bars = [gappy("A", seed), gappy("B", seed + 1)]
    whole = align(bars)
    limit = whole.time[min(cut, len(whole.time) - 1)]
    short = align([as_bars(b.symbol, b.time[b.time <= limit], b.ohlcv[b.time <= limit]) for b in bars])
    rows = len(short.time)
    assert rows >= 2 and np.array_equal(short.time, whole.time[:rows])
    assert np.array_equal(short.ohlcv, whole.ohlcv[:rows]) and np.array_equal(short.tradable, whole.tradable[:rows])


def test_bar_length_and_bars_per_year_come_from_the_clock():
    for step, label, yearly in ((DAY, "D1", 261), (HOUR, "H1", 261 * 24), (HOUR // 12, "M5", 261 * 24 * 12)):
        bars = 261 * 3 if step == DAY else 6000
        market = align([as_bars("A", weekdays(bars, step), walk(bars))])
        assert market.timeframe == label
        assert abs(market.bars_per_year / yearly - 1) < 0.02


def test_different_bar_lengths_stop():
    bars = [as_bars("A", weekdays(100), walk(100)), as_bars("B", weekdays(100, HOUR), walk(100))]
    with pytest.raises(DataError, match=r"A D1 \(A.csv\), B H1 \(B.csv\); one bar length is needed"):
        align(bars)
    with pytest.raises(DataError, match="`H4` was asked for"):
        align(bars[:1], "H4")
    with pytest.raises(ConfigError, match="`1h` is no bar length"):
        align(bars[:1], "1h")


def test_disjoint_periods_stop_with_each_period():
    later = weekdays(100) + 400 * DAY
    bars = [as_bars("A", weekdays(100), walk(100)), as_bars("B", later, walk(100))]
    with pytest.raises(DataError, match="share no period: A 2018-01-01 to 2018-05-18; B 2019-02-05 to 2019-06-22"):
        align(bars)


def test_an_instrument_twice_or_a_single_bar_stops():
    one = as_bars("A", weekdays(100), walk(100))
    with pytest.raises(DataError, match="named once"):
        align([one, one])
    with pytest.raises(DataError, match="1 bars"):
        align([as_bars("A", weekdays(1), walk(1))])
