"""Day and month: decided by proof, asked for without one, refused where swapped or changing."""

import numpy as np
import pytest

from mtquant.data.bars import read_bars
from mtquant.errors import DataError
from tests.data.make import DAY, HOUR, MONDAY, PLAIN, stamps, walk, weekdays, write_bars

HALF_HOUR = HOUR // 2


def test_a_number_above_twelve_decides(tmp_path):
    time, ohlcv = weekdays(40), walk(40)
    for form in ("slash-day", "slash-month"):
        bars = read_bars(write_bars(tmp_path / "x.csv", time, ohlcv, form=form), "X")
        assert np.array_equal(bars.time, time)


def test_time_running_backwards_decides_and_is_told(tmp_path):
    time = MONDAY + np.array([3, 4, 31, 32]) * DAY  # 4, 5 January; 1, 2 February
    path = write_bars(tmp_path / "x.csv", time, walk(4), form="slash-day")
    bars = read_bars(path, "X")
    assert np.array_equal(bars.time, time)
    assert any("day first: the other order would run backwards" in w for w in bars.warnings)


@pytest.mark.parametrize("day_first", [True, False])
def test_an_undecidable_order_is_asked_for(tmp_path, day_first):
    time, ohlcv = MONDAY + np.arange(10) * DAY, walk(10)
    path = write_bars(tmp_path / "x.csv", time, ohlcv, form="slash-day" if day_first else "slash-month")
    with pytest.raises(DataError, match=r"x\.csv, row 2: .*--day-first.*--month-first.*data\.day_first"):
        read_bars(path, "X")
    assert np.array_equal(read_bars(path, "X", day_first=day_first).time, time)


def test_dates_with_dots_are_day_first(tmp_path):
    time = MONDAY + np.arange(10) * DAY
    assert np.array_equal(read_bars(write_bars(tmp_path / "x.csv", time, walk(10), form="dots"), "X").time, time)


def test_an_option_against_the_proof_stops(tmp_path):
    path = write_bars(tmp_path / "x.csv", weekdays(40), walk(40), form="slash-day")
    with pytest.raises(DataError, match=r"rows 12, .*can only be day first, but month first was asked for"):
        read_bars(path, "X", day_first=False)


def test_proofs_of_both_orders_stop(tmp_path):
    time = weekdays(60)
    rows = [f"{s},1,1,1,1,1" for s in (*stamps(time[:30], "slash-day"), *stamps(time[30:], "slash-month"))]
    (tmp_path / "x.csv").write_text("\n".join([PLAIN, *rows]))
    with pytest.raises(DataError, match="can only be day first.*only month first.*changes inside"):
        read_bars(tmp_path / "x.csv", "X")


def spreadsheet(time: np.ndarray) -> list[str]:
    """Return what a spreadsheet makes of day-first dates: month first where that is possible."""
    days, months = stamps(time, "slash-day"), stamps(time, "slash-month")
    return [m if int(d[:2]) <= 12 else d for d, m in zip(days, months, strict=True)]


def test_an_order_that_changes_inside_the_file_stops(tmp_path):
    rows = [f"{s},1,1,1,1,1" for s in spreadsheet(weekdays(60))]
    (tmp_path / "x.csv").write_text("\n".join([PLAIN, *rows]))
    with pytest.raises(DataError, match=r"proven day first.*changes inside the file"):
        read_bars(tmp_path / "x.csv", "X")


def exchanged(time: np.ndarray) -> np.ndarray:
    """Return times with day and month exchanged where both are at most 12."""
    out = []
    for t in time:
        date, clock = str(np.datetime64(int(t), "ns").astype("datetime64[s]")).split("T")
        year, month, day = date.split("-")
        out.append(f"{year}-{day}-{month}T{clock}" if int(day) <= 12 else f"{date}T{clock}")
    return np.array(out, dtype="datetime64[ns]").astype(np.int64)


@pytest.mark.parametrize(("step", "bars"), [(HOUR, 24 * 500), (DAY, 500)])
@pytest.mark.parametrize("form", ["iso", "space", "slash-day"])
def test_swapped_days_and_months_are_refused_though_sorted(tmp_path, step, bars, form):
    time = weekdays(bars, step)
    ohlcv = walk(bars, step=0.001)
    swapped = exchanged(time)
    order = np.argsort(swapped, kind="stable")
    with pytest.raises(DataError, match=r"x\.csv: day and month are exchanged.*Saturdays.*one date order"):
        read_bars(write_bars(tmp_path / "x.csv", swapped[order], ohlcv[order], form=form), "X")
    assert np.array_equal(read_bars(write_bars(tmp_path / "y.csv", time, ohlcv, form=form), "X").time, time)


def test_an_odd_calendar_with_connected_prices_is_believed(tmp_path):
    time = np.sort(exchanged(weekdays(500)))
    assert np.array_equal(read_bars(write_bars(tmp_path / "x.csv", time, walk(500, step=0.001)), "X").time, time)


def test_swapped_days_and_months_are_refused_in_their_true_order(tmp_path):
    path = write_bars(tmp_path / "x.csv", exchanged(weekdays(120)), walk(120))
    with pytest.raises(DataError, match=r"x\.csv: time runs backwards as written and forwards once"):
        read_bars(path, "X")


def test_a_market_that_never_closes_is_not_suspected(tmp_path):
    time = MONDAY + np.arange(24 * 400) * HOUR
    assert np.array_equal(read_bars(write_bars(tmp_path / "x.csv", time, walk(len(time))), "X").time, time)
