"""Every dialect gives the same bars; every broken file stops with its name, the row and what to do."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtquant.data.bars import read_bars
from mtquant.errors import ConfigError, DataError
from tests.data.make import DAY, HOUR, MONDAY, PLAIN, lines, stamps, walk, weekdays, write_bars

BARS = 120
TIME = weekdays(BARS, HOUR, MONDAY + 9 * DAY)
OHLCV = walk(BARS)
UTC_NOTE = "timestamps state no time zone and are taken as UTC"


def text(path: Path, *rows: str, end: str = "\n") -> Path:
    path.write_bytes((end.join(rows) + end).encode())
    return path


def mt5(time: np.ndarray, ohlcv: np.ndarray) -> list[str]:
    out = []
    for stamp, row in zip(stamps(time, "metatrader"), ohlcv, strict=True):
        out.append("\t".join([*stamp.split(" "), *(repr(float(v)) for v in row[:4]), f"{row[4]:.0f}", "0", "12"]))
    return out


DIALECTS = {
    "plain": [PLAIN, *lines(TIME, OHLCV)],
    "named-columns": ["Date,Open,High,Low,Close,Volume", *lines(TIME, OHLCV, "space")],
    "chart-export": ["Timestamp,Open,High,Llow,Close,Volume", *lines(TIME, OHLCV, "slash-day")],
    "dukascopy": ["Time,Open,High,Low,Close,Volume", *lines(TIME, OHLCV, "dots")],
    "metatrader": [
        "DateTime,Open,High,Low,Close,TickVolume,Spread",
        *(f"{x},9" for x in lines(TIME, OHLCV, "metatrader")),
    ],
    "metatrader5": ["<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>", *mt5(TIME, OHLCV)],
    "metatrader4": [x.replace(" ", ",", 1) for x in lines(TIME, OHLCV, "metatrader")],
    "histdata": lines(TIME, OHLCV, "compact", ";"),
    "headerless": lines(TIME, OHLCV, "space"),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_dialect_gives_the_same_bars(tmp_path, name, end):
    bars = read_bars(text(tmp_path / "x.csv", *DIALECTS[name], end=end), "EURUSD")
    assert bars.dialect == name
    assert np.array_equal(bars.time, TIME)
    assert np.array_equal(bars.ohlcv, OHLCV)
    assert (UTC_NOTE in bars.warnings) == (name != "plain")
    assert not bars.ohlcv.flags.writeable and not bars.time.flags.writeable
    assert len(bars.digest) == 64 and bars.source == "x.csv"


def test_yahoo_with_one_header_and_with_three(tmp_path):
    time, ohlcv = weekdays(80), walk(80)
    days = [x[:10] for x in stamps(time)]
    single = [
        ",".join([d, *(repr(float(v)) for v in row[:4]), repr(float(row[3])), f"{row[4]:.0f}"])
        for d, row in zip(days, ohlcv, strict=True)
    ]
    one = read_bars(text(tmp_path / "1.csv", "Date,Open,High,Low,Close,Adj Close,Volume", *single), "X")
    head = ["Price,Close,High,Low,Open,Volume", "Ticker,^DJI,^DJI,^DJI,^DJI,^DJI", "Date,,,,,"]
    rows = [",".join([d, *(repr(float(v)) for v in row[[3, 1, 2, 0, 4]])]) for d, row in zip(days, ohlcv, strict=True)]
    three = read_bars(text(tmp_path / "3.csv", *head, *rows), "X")
    assert (one.dialect, three.dialect) == ("yahoo", "yahoo-multi-header")
    for bars in (one, three):
        assert np.array_equal(bars.time, time) and np.array_equal(bars.ohlcv, ohlcv)
    several = [head[0], "Ticker,A,A,A,A,B", *head[2:], *rows]
    with pytest.raises(DataError, match="row 2: the file holds 2 tickers"):
        read_bars(text(tmp_path / "n.csv", *several), "X")


def test_lean_quotes_become_mid_prices(tmp_path):
    rows = []
    for stamp, row in zip(stamps(TIME, "compact"), OHLCV, strict=True):
        day, clock = stamp.split(" ")
        bid, ask = ([f"{v + s:.5f}" for v in row[:4]] for s in (-0.0002, 0.0002))
        rows.append(",".join([f"{day} {clock[:2]}:{clock[2:4]}", *bid, "0", *ask, "0"]))
    with zipfile.ZipFile(tmp_path / "eurusd.zip", "w") as archive:
        archive.writestr("eurusd.csv", "\n".join(rows))
    bars = read_bars(tmp_path / "eurusd.zip", "EURUSD")
    assert bars.dialect == "lean-quotes" and np.array_equal(bars.time, TIME)
    assert np.allclose(bars.ohlcv[:, :4], OHLCV[:, :4], atol=1e-9) and not bars.ohlcv[:, 4].any()
    assert any("mean of bid and ask" in w for w in bars.warnings)


def test_compression_and_encoding_are_seen_by_content(tmp_path):
    plain = write_bars(tmp_path / "x.csv", TIME, OHLCV)
    content = plain.read_bytes()
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(content))
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + content)
    (tmp_path / "wide.csv").write_bytes(content.decode().encode("utf-16"))
    for name in ("x.csv.gz", "bom.csv", "wide.csv"):
        assert np.array_equal(read_bars(tmp_path / name, "EURUSD").ohlcv, OHLCV)


def test_parquet_of_other_programs_is_read(tmp_path):
    stamp = pa.array(TIME.view("datetime64[ns]"), type=pa.timestamp("us", tz="UTC"), safe=False)
    names = ("Open", "High", "Low", "Close")
    table = pa.table({"Timestamp": stamp} | {n: OHLCV[:, i] for i, n in enumerate(names)})
    pq.write_table(table, tmp_path / "x.parquet")
    bars = read_bars(tmp_path / "x.parquet", "EURUSD")
    assert np.array_equal(bars.time, TIME) and np.array_equal(bars.ohlcv[:, :4], OHLCV[:, :4])
    assert bars.dialect == "parquet" and "no volume column: volume is 0" in bars.warnings
    pq.write_table(table.drop_columns(["High"]), tmp_path / "y.parquet")
    with pytest.raises(DataError, match=r"y\.parquet has no columns \['high'\]"):
        read_bars(tmp_path / "y.parquet", "EURUSD")
    broken = table.set_column(1, "Open", pa.array([None, *OHLCV[1:, 0]]))
    pq.write_table(broken, tmp_path / "z.parquet")
    with pytest.raises(DataError, match=r"z\.parquet, row 1: .*missing"):
        read_bars(tmp_path / "z.parquet", "EURUSD")
    (tmp_path / "w.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no readable parquet"):
        read_bars(tmp_path / "w.parquet", "EURUSD")


def changed(line: int, value: str) -> list[str]:
    """Return the plain file with one line (1 = header) replaced."""
    rows = list(DIALECTS["plain"])
    rows[line - 1] = value
    return rows


GOOD = DIALECTS["plain"]
BROKEN_TEXT = {
    "empty cell": (changed(7, "2018-01-10T05:00:00Z,1.1,,1.0,1.1,5"), r"row 7: an empty cell"),
    "word": (changed(7, "2018-01-10T05:00:00Z,1.1,null,1.0,1.1,5"), r"row 7: `null` is no number"),
    "decimal comma": ([x.replace(",", ";").replace(".", ",") for x in GOOD], r"row.*is no number\. Write numbers like"),
    "cut off row": (changed(7, "2018-01-10T05:00:00Z,1.1,1.2"), r"row 7: 3 columns, 6 are expected"),
    "no time": (changed(7, "yesterday,1.1,1.2,1.0,1.1,5"), r"row 7: `yesterday` is no time in the form"),
    "no such day": (changed(7, "2018-02-30T05:00:00Z,1.1,1.2,1.0,1.1,5"), r"row 7: `2018-02-30.*no day of the"),
    "no such hour": (changed(7, "2018-01-10T25:00:00Z,1.1,1.2,1.0,1.1,5"), r"row 7: .*no time of day"),
    "zone missing": (changed(7, "2018-01-10 05:00:00,1.1,1.2,1.0,1.1,5"), r"row 7: no time zone, while other rows"),
    "twice": ([*GOOD[:7], GOOD[6], *GOOD[7:]], r"row 8: the time of another bar again.*drop-duplicates"),
    "contradiction": ([*GOOD[:7], GOOD[6][:-3] + "7.0", *GOOD[7:]], r"row 8: the time of another bar.*contradict"),
    "unsorted": ([*GOOD[:6], GOOD[7], GOOD[6], *GOOD[8:]], r"row 8: time runs backwards.*`sort`"),
    "newest first": ([GOOD[0], *reversed(GOOD[1:])], r"from the newest bar to the oldest.*`sort`"),
    "no close": (["timestamp,open,high,low,volume", *GOOD[1:]], r"row 1: no `close` column"),
    "two closes": (["timestamp,open,high,low,close,close", *GOOD[1:]], r"row 1: 2 `close` columns"),
    "no time column": (["when,open,high,low,close,volume", *GOOD[1:]], r"row 1: no time column"),
    "header only": (GOOD[:1], r"a header and no bars"),
    "unknown layout": ([x.split(",", 1)[1] for x in GOOD[1:]], r"row 1: .* fits no known layout.*Add a header"),
    "no bars at all": (["", "", ""], r"is empty"),
}


@pytest.mark.parametrize("name", BROKEN_TEXT)
def test_broken_text_stops_with_its_row(tmp_path, name):
    rows, message = BROKEN_TEXT[name]
    with pytest.raises(DataError, match=r"(?s)bad\.csv.*" + message):
        read_bars(text(tmp_path / "bad.csv", *rows), "EURUSD")


def test_broken_containers_stop_with_their_name(tmp_path):
    content = write_bars(tmp_path / "x.csv", TIME, OHLCV).read_bytes()
    packed = gzip.compress(content)
    cases = {
        "cut.csv.gz": (packed[: len(packed) // 2], "truncated or broken gzip"),
        "plain.csv.gz": (content, r"named `\.gz` but does not begin"),
        "empty.csv": (b"", "is empty"),
        "cut.zip": (b"PK\x03\x04 cut", "truncated, broken or locked zip"),
        "latin.csv": (content.replace(b"05:00:00Z", b"05:00:00\xe9", 1), "row 7: not UTF-8"),
        "binary.csv": (b"\x00\x01\x02" * 100, "is a binary file"),
    }
    for name, (raw, message) in cases.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match=rf"{name}.*{message}"):
            read_bars(tmp_path / name, "EURUSD")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", content)
        archive.writestr("b.csv", content)
    with pytest.raises(DataError, match=r"two\.zip holds 2 files"):
        read_bars(tmp_path / "two.zip", "EURUSD")
    with pytest.raises(DataError, match=r"absent\.csv cannot be read"):
        read_bars(tmp_path / "absent.csv", "EURUSD")


def test_unused_and_missing_columns_are_told(tmp_path):
    rows = ["time,open,high,low,close,mood", *lines(TIME, OHLCV, "space")]
    bars = read_bars(text(tmp_path / "x.csv", *rows), "EURUSD")
    assert "columns ['mood'] are not used" in bars.warnings and "no volume column: volume is 0" in bars.warnings
    assert not bars.ohlcv[:, 4].any()


def test_time_zones(tmp_path):
    local = write_bars(tmp_path / "x.csv", TIME, OHLCV, form="space")
    bars = read_bars(local, "EURUSD", time_zone="America/New_York")
    assert np.array_equal(bars.time, TIME + 5 * HOUR)
    assert "timestamps state no time zone and are taken as America/New_York" in bars.warnings
    stated = [PLAIN, *(x.replace("Z", "+02:00") for x in lines(TIME, OHLCV))]
    bars = read_bars(text(tmp_path / "y.csv", *stated), "EURUSD", time_zone="America/New_York")
    assert np.array_equal(bars.time, TIME - 2 * HOUR) and not bars.warnings
    named = ["Gmt time,Open,High,Low,Close,Volume", *lines(TIME, OHLCV, "dots")]
    bars = read_bars(text(tmp_path / "z.csv", *named), "EURUSD", time_zone="America/New_York")
    assert np.array_equal(bars.time, TIME) and not bars.warnings
    with pytest.raises(ConfigError, match="`Mars/Olympus`"):
        read_bars(local, "EURUSD", time_zone="Mars/Olympus")


def test_summer_time_shifts_and_hours_that_do_not_exist_stop(tmp_path):
    july = int(np.datetime64("2018-07-02", "ns").astype(np.int64))
    time = weekdays(48, HOUR, july)
    bars = read_bars(write_bars(tmp_path / "x.csv", time, walk(48), form="space"), "X", time_zone="Europe/Berlin")
    assert np.array_equal(bars.time, time - 2 * HOUR)
    spring = int(np.datetime64("2018-03-25", "ns").astype(np.int64)) + np.arange(48) * HOUR
    with pytest.raises(DataError, match=r"s\.csv: .*Europe/Berlin.*export in UTC"):
        read_bars(write_bars(tmp_path / "s.csv", spring, walk(48), form="space"), "X", time_zone="Europe/Berlin")


def test_epoch_numbers(tmp_path):
    for name, unit in (("s", 10**9), ("ms", 10**6)):
        rows = [PLAIN, *(f"{t // unit},{x.split(',', 1)[1]}" for t, x in zip(TIME, lines(TIME, OHLCV), strict=True))]
        bars = read_bars(text(tmp_path / f"{name}.csv", *rows), "EURUSD")
        assert np.array_equal(bars.time, TIME) and not bars.warnings
