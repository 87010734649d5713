"""Crashes: as bad as they are said to be, and unknown before they begin."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.data.market import CLOSE, HIGH, LOW, OPEN, Market
from mtquant.errors import DataError
from mtquant.evaluation.causality.perturbation import changed, random_walk, truncated
from mtquant.synthetic.black_swan import Crashes
from mtquant.synthetic.sizing import SizingParams, sizing_bars

CRASHES = Crashes(0.02, 6.0, 10)


def returns(market: Market) -> np.ndarray:
    return market.close[1:] / market.close[:-1] - 1.0


def test_a_crash_falls_by_its_size_and_then_everything_moves_together():
    calm = random_walk(Streams(1), bars=4000)
    market = changed(calm, calm.ohlcv, np.ones_like(calm.tradable))
    wild = CRASHES.planted(market, Streams(0))
    begins = np.flatnonzero(CRASHES.begins(market, Streams(0)))
    assert 40 < len(begins) < 120
    before, after = returns(market), returns(wild)
    spread = before.std(axis=0)
    assert (after[begins - 1] < -3.0 * spread).all()
    alone = begins[np.diff(begins, append=len(market.time)) > 30]
    wave = np.concatenate([after[b : b + 9] for b in alone[:-1]])
    quiet = np.concatenate([after[b + 12 : b + 21] for b in alone[:-1]])
    assert np.corrcoef(wave.T)[0, 1] > 0.95 > np.corrcoef(quiet.T)[0, 1]
    assert wave.std() > 1.5 * quiet.std()
    np.testing.assert_allclose(after[: begins[0] - 1], before[: begins[0] - 1])


def test_candles_stay_candles_and_missing_bars_stay_missing():
    market = random_walk(Streams(2))
    wild = CRASHES.planted(market, Streams(0)).ohlcv
    assert not np.array_equal(wild, market.ohlcv)
    assert (wild[:, :, HIGH] >= wild[:, :, [OPEN, CLOSE]].max(axis=2)).all()
    assert (wild[:, :, LOW] <= wild[:, :, [OPEN, CLOSE]].min(axis=2)).all()
    assert (wild[:, :, LOW] > 0).all()
    gone = ~market.tradable
    gone[[0, len(gone) // 2]] = False
    held = np.roll(wild[:, :, CLOSE], 1, axis=0)
    np.testing.assert_array_equal(wild[:, :, CLOSE][gone], held[gone])


@pytest.mark.parametrize("bars", [350, 451, 599])
def test_nothing_before_a_bar_depends_on_bars_after_it(bars):
    market = random_walk(Streams(3))
    whole = CRASHES.planted(market, Streams(0))
    cut = CRASHES.planted(truncated(market, bars), Streams(0))
    np.testing.assert_array_equal(cut.ohlcv, whole.ohlcv[:bars])


def test_no_crashes_leave_the_market_as_it_is_and_negative_prices_are_refused():
    market = random_walk(Streams(4))
    assert Crashes(0.0, 6.0, 10).planted(market, Streams(0)) is market
    negative = changed(market, market.ohlcv - 1e5, market.tradable)
    with pytest.raises(DataError, match="black_swan_rate"):
        CRASHES.planted(negative, Streams(0))


def test_sized_bars_follow_their_chain():
    params = SizingParams(volatility=(0.1, 0.4), stay=0.95)
    made = sizing_bars(params, Streams(0), ("EURUSD", "XAUUSD"), (20, 1, 1), 1000, correlation=0.5)
    regime, market = made.regime, made.market
    assert market.symbols == ("EURUSD", "XAUUSD") and len(market.history_bounds()) == 22
    inside = np.flatnonzero(np.diff(market.history) == 0)
    moved = market.close[inside + 1] / market.close[inside] - 1.0
    for state, volatility in enumerate(params.volatility):
        here = moved[regime[inside] == state]
        assert here.std() == pytest.approx(volatility / np.sqrt(252), rel=0.03)
        assert np.corrcoef(here.T)[0, 1] == pytest.approx(0.5, abs=0.03)
    assert moved.mean() == pytest.approx(params.mean / 252, abs=4 * moved.std() / np.sqrt(moved.size))
    changes = (np.diff(regime)[inside[:-1]] != 0).mean()
    assert changes == pytest.approx(0.05, rel=0.1)
