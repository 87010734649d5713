"""Macro columns are never known before their period has ended."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import DataSpec, FeatureSpec
from mtquant.data.align import align
from mtquant.data.features import build_dataset
from mtquant.data.folder import load_folder
from mtquant.data.macro_file import MacroTable, attach, read_macro
from mtquant.errors import DataError
from tests.data.make import DAY, HOUR, MONDAY, as_bars, catalogue, stamps, walk, weekdays, write_bars


def market(step=DAY, bars=200):
    return align([as_bars("EURUSD", weekdays(bars, step), walk(bars))])


def table(tmp_path, time, values) -> MacroTable:
    return MacroTable(tmp_path / "macro.csv", time, np.asarray(values, float)[:, None], ("vix",), ())


def test_daily_rows_serve_daily_bars_of_the_same_day(tmp_path):
    found, notes = attach(market(), table(tmp_path, weekdays(200), np.arange(200)))
    assert found.macro[:, 0].tolist() == list(range(200)) and found.macro_names == ("vix",) and not notes


def test_daily_rows_serve_hours_from_the_next_day(tmp_path):
    days = MONDAY - DAY + np.arange(300) * DAY
    found, _ = attach(market(HOUR), table(tmp_path, days, np.arange(300)))
    closes = found.time + HOUR
    assert np.array_equal(found.macro[:, 0], (closes - MONDAY) // DAY)


@settings(max_examples=30, deadline=None)
@given(
    step=st.sampled_from([HOUR, DAY]), period=st.sampled_from([HOUR, 4 * HOUR, DAY, 7 * DAY]), shift=st.integers(0, 30)
)
def test_no_row_is_seen_before_its_period_has_ended(tmp_path_factory, step, period, shift):
    time = MONDAY - 40 * DAY + shift * HOUR + np.arange(400 * DAY // period) * period
    found, _ = attach(market(step), table(tmp_path_factory.mktemp("m"), time, time.astype(float)))
    closes = found.time + step
    seen = found.macro[:, 0].astype(np.int64)
    assert (seen + period <= closes).all()
    assert (seen + 2 * period > closes).all()  # and the newest of those that have ended


def test_rows_that_begin_too_late_stop_and_old_values_are_told(tmp_path):
    with pytest.raises(DataError, match=r"first row \(2018-01-02\).*known from 2018-01-03.*bars begin on 2018-01-01"):
        attach(market(), table(tmp_path, weekdays(200)[1:], np.arange(199)))
    found, notes = attach(market(), table(tmp_path, weekdays(100), np.arange(100)))
    assert found.macro[-1, 0] == 99 and "carried for up to 140 days" in notes[0]


BROKEN = {
    "word": ("timestamp,vix\n2018-01-01T00:00:00Z,high\n", "high.*must be a number"),
    "gap": ("timestamp,vix\n2018-01-01T00:00:00Z,nan\n", "row 2: a value is not finite"),
    "twice": ("timestamp,vix\n2018-01-01T00:00:00Z,1\n2018-01-01T00:00:00Z,2\n", "row 3: times repeat"),
    "short": ("timestamp,vix,dxy\n2018-01-01T00:00:00Z,1\n", "row 2: 3 columns"),
    "no time": ("when,vix\n2018-01-01,1\n", "row 1: columns"),
    "no column": ("timestamp\n2018-01-01T00:00:00Z\n", "row 1: columns"),
    "no rows": ("timestamp,vix\n", "no rows"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables_stop(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / "macro.csv").write_text(content)
    with pytest.raises(DataError, match=rf"macro\.csv.*{message}"):
        read_macro(tmp_path / "macro.csv")


def test_columns_in_the_folder_reach_the_macro_block(tmp_path):
    time, values = weekdays(600), np.arange(600.0)
    write_bars(tmp_path / "EURUSD.csv", time, walk(600))
    rows = [f"{s[:10]},{v},{-v}" for s, v in zip(stamps(time), values, strict=True)]
    (tmp_path / "macro.csv").write_text("\n".join(["Date,VIX,credit", *rows]))
    market, splits, warnings, _ = load_folder(tmp_path, ("EURUSD",), None, catalogue(), DataSpec(embargo_bars=0))
    assert market.macro_names == ("VIX", "credit") and np.array_equal(market.macro[:, 0], values)
    assert "macro.csv: timestamps state no time zone and are taken as UTC" in warnings
    dataset = build_dataset(market, splits, FeatureSpec(), planted=False, catalogue=catalogue())
    assert dataset.macro_names == ("VIX", "dxy (proxy)", "rates (none)", "credit", "momentum (proxy)")
