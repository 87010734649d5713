"""Rules and suspicions: wrong bars stop with their rows, odd ones are told, and nothing is changed unasked."""

import numpy as np
import pytest

from mtquant.data.bars import read_bars
from mtquant.errors import DataError
from tests.data.make import DAY, HOUR, MONDAY, PLAIN, lines, walk, weekdays, write_bars

BARS = 120
TIME = weekdays(BARS, HOUR, MONDAY + 9 * DAY)
OHLCV = walk(BARS)


def edited(**changes: float) -> np.ndarray:
    """Return bars with `row_column=value` replaced (bar 10 lies on line 12)."""
    out = OHLCV.copy()
    for place, value in changes.items():
        row, column = place[1:].split("_")
        out[int(row), "ohlcv".index(column)] = value
    return out


BROKEN_VALUES = {
    "zero price": (edited(b10_l=0.0), r"row 12: a price is zero or negative.*price_may_be_negative"),
    "negative price": (edited(b10_l=-1.0), r"row 12: a price is zero or negative"),
    "high below low": (edited(b10_h=0.5, b11_h=0.5), r"rows 12, 13: the high is below the low"),
    "close outside": (edited(b10_c=9.0), r"row 12: open or close lies outside low and high.*widen-range"),
    "open outside": (edited(b10_o=0.1), r"row 12: open or close lies outside"),
    "negative volume": (edited(b10_v=-5.0), r"row 12: the volume is negative"),
    "not a number": (edited(b10_c=np.nan), r"row 12: a price or volume is missing or not a number"),
    "infinite": (edited(b10_h=np.inf), r"row 12: a price or volume is missing or not a number"),
}


@pytest.mark.parametrize("name", BROKEN_VALUES)
def test_wrong_numbers_stop_with_their_row(tmp_path, name):
    ohlcv, message = BROKEN_VALUES[name]
    path = write_bars(tmp_path / "bad.csv", TIME, ohlcv)
    with pytest.raises(DataError, match=r"bad\.csv, " + message):
        read_bars(path, "EURUSD")


def test_negative_prices_pass_where_they_are_possible(tmp_path):
    ohlcv = OHLCV.copy()
    ohlcv[:, :4] -= 1.1
    path = write_bars(tmp_path / "cl.csv", TIME, ohlcv)
    assert np.array_equal(read_bars(path, "CL", price_may_be_negative=True).ohlcv, ohlcv)


def test_rounding_of_open_and_close_is_told_not_refused(tmp_path):
    ohlcv = OHLCV.copy()
    ohlcv[10, 3] = ohlcv[10, 1] + 0.00001
    bars = read_bars(write_bars(tmp_path / "x.csv", TIME, np.round(ohlcv, 5)), "EURUSD")
    assert "open or close lies outside low and high by rounding in 1 bars" in bars.warnings
    assert np.array_equal(bars.ohlcv, np.round(ohlcv, 5))


def test_repairs_happen_only_when_named_and_are_told(tmp_path):
    wide = OHLCV.copy()
    wide[10, 3] = 9.0
    rows = lines(TIME, wide)
    messy = [PLAIN, *reversed(rows), rows[5]]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(messy))
    with pytest.raises(DataError):
        read_bars(path, "EURUSD")
    with pytest.raises(DataError):
        read_bars(path, "EURUSD", repairs=("sort", "drop-duplicates"))
    bars = read_bars(path, "EURUSD", repairs=("widen-range", "drop-duplicates", "sort"))
    expected = wide.copy()
    expected[10, 1] = 9.0
    assert np.array_equal(bars.time, TIME) and np.array_equal(bars.ohlcv, expected)
    told = [w for w in bars.warnings if w.startswith("repair")]
    assert len(told) == 3 and "repair `drop-duplicates` changed 1 bars" in told
    clean = read_bars(write_bars(tmp_path / "y.csv", TIME, OHLCV), "EURUSD", repairs=("sort", "widen-range"))
    assert not [w for w in clean.warnings if w.startswith("repair")]
    with pytest.raises(DataError, match=r"Unknown repairs \['guess'\]"):
        read_bars(path, "EURUSD", repairs=("guess",))


def test_prices_scaled_by_a_hundred_are_guessed_and_kept(tmp_path):
    gold = walk(BARS, start=1500.0)
    gold[:, :4] = np.round(gold[:, :4] * 100)
    bars = read_bars(write_bars(tmp_path / "x.csv", TIME, gold), "XAUUSD")
    assert any("multiplied by 100" in w for w in bars.warnings) and np.array_equal(bars.ohlcv, gold)
    etf = walk(BARS, start=300.0)
    assert any("divided by 100" in w for w in read_bars(write_bars(tmp_path / "y.csv", TIME, etf), "US30").warnings)
    assert not read_bars(write_bars(tmp_path / "z.csv", TIME, OHLCV), "EURUSD").warnings


def test_isolated_spikes_are_told_and_real_jumps_are_not(tmp_path):
    jump = OHLCV.copy()
    jump[60:, :4] = np.round(jump[60:, :4] * 1.2, 5)
    assert not read_bars(write_bars(tmp_path / "jump.csv", TIME, jump), "X").warnings
    spike = OHLCV.copy()
    spike[60, [1, 3]] = round(spike[60, 3] * 1.2, 5)
    warnings = read_bars(write_bars(tmp_path / "spike.csv", TIME, spike), "X").warnings
    assert len(warnings) == 1 and warnings[0].startswith("1 closes look like bad ticks") and "row 62" in warnings[0]
    half = OHLCV.copy()
    half[60, [1, 3]] = round(half[60, 3] * 1.4, 5)
    half[61:, :4] = np.round(half[61:, :4] * 1.2, 5)
    half[61, 1] = half[60, 3]
    assert not read_bars(write_bars(tmp_path / "half.csv", TIME, half), "X").warnings
    wick = OHLCV.copy()
    wick[60, 2] = 0.6
    warnings = read_bars(write_bars(tmp_path / "wick.csv", TIME, wick), "X").warnings
    assert len(warnings) == 1 and "highs or lows" in warnings[0] and "row 62" in warnings[0]


def test_bars_that_carry_the_whole_day_are_an_error(tmp_path):
    time = weekdays(24 * 60, HOUR)
    ohlcv = walk(24 * 60, seed=3)
    assert not read_bars(write_bars(tmp_path / "good.csv", time, ohlcv), "X").warnings
    midnight = np.flatnonzero(time % DAY == 0)
    for i in midnight[30:]:
        ohlcv[i, 1], ohlcv[i, 2] = ohlcv[i : i + 24, 1].max(), ohlcv[i : i + 24, 2].min()
        ohlcv[i, 3] = ohlcv[i + 23, 3]
    with pytest.raises(DataError, match=r"rows 722, 746.*the 00:00 bars.*\(30 of 60 days\).*know the future.*remove"):
        read_bars(write_bars(tmp_path / "leak.csv", time, ohlcv), "X")
