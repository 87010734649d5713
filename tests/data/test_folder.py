"""A folder becomes a market: the right files, their warnings, enough bars, and splits in time order."""

from pathlib import Path

import numpy as np
import pytest

from mtquant.config.agents import DataSpec
from mtquant.data.folder import load_folder
from mtquant.errors import ConfigError, DataError
from tests.data.make import DAY, HOUR, catalogue, walk, weekdays, write_bars

DATA = DataSpec(embargo_bars=10)
SYMBOLS = ("EURUSD", "SPX500")
BARS = 700


def fill(folder: Path, label: str = "_D1", ending: str = ".csv", step: int = DAY, bars: int = BARS) -> Path:
    folder.mkdir(exist_ok=True)
    for i, symbol in enumerate(SYMBOLS):
        start = 1.1 if symbol == "EURUSD" else 3000.0
        write_bars(folder / f"{symbol}{label}{ending}", weekdays(bars, step), walk(bars, i, start, step=0.002))
    return folder


def load(folder: Path, timeframe: str | None = None, symbols: tuple[str, ...] = SYMBOLS, data: DataSpec = DATA):
    return load_folder(folder, symbols, timeframe, catalogue(), data)


@pytest.mark.parametrize(("label", "timeframe"), [("_D1", "D1"), ("_D1", None), ("", None), ("", "D1"), ("-d1", "D1")])
def test_files_are_found_by_name(tmp_path, label, timeframe):
    market, splits, warnings, provenance = load(fill(tmp_path / "a", label), timeframe)
    assert market.symbols == SYMBOLS and market.timeframe == "D1" and len(market.time) == BARS
    assert np.array_equal(market.ohlcv[:, 1], walk(BARS, 1, 3000.0, step=0.002))
    assert splits.train.segments == ((0, 420),) and splits.validation.segments == ((430, 560),)
    assert splits.test.segments == ((570, 700),)
    assert not warnings
    assert provenance["EURUSD"].startswith(f"EURUSD{label}.csv, plain, 700 bars, 2018-01-01 to 2020-09-04, sha256 ")
    assert str(tmp_path) not in "".join(provenance.values())


def test_order_of_instruments_is_the_order_asked_for(tmp_path):
    market, *_ = load(fill(tmp_path / "a"), symbols=("SPX500", "EURUSD"))
    assert market.symbols == ("SPX500", "EURUSD") and market.close[0, 0] > 100


def test_other_bar_lengths_are_ignored_and_several_are_asked_about(tmp_path):
    folder = fill(fill(tmp_path / "a"), "_H1", step=HOUR, bars=1500)
    assert load(folder, "H1")[0].timeframe == "H1"
    assert load(folder, "D1")[0].timeframe == "D1"
    with pytest.raises(DataError, match=r"holds bars of \['D1', 'H1'\].*data\.timeframe"):
        load(folder)
    (folder / "SPX500_H1.csv").unlink()
    assert load(folder)[0].timeframe == "D1"


def test_a_file_that_names_its_bar_length_comes_first(tmp_path):
    folder = fill(fill(tmp_path / "a"), "", step=HOUR, bars=1500)
    assert load(folder, "D1")[0].timeframe == "D1"


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    folder = fill(tmp_path / "a")
    with pytest.raises(DataError, match=r"no D1 bars of USDJPY\. Looked for USDJPY_D1\{\.csv.*EURUSD_D1\.csv, SPX500"):
        load(folder, "D1", (*SYMBOLS, "USDJPY"))
    with pytest.raises(DataError, match=r"no H4 bars of EURUSD, SPX500"):
        load(folder, "H4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is: no bar files"):
        load(tmp_path / "empty")
    with pytest.raises(DataError, match=r"nowhere does not exist.*data\.source"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="EURUSX has no entry.*Did you mean `EURUSD`"):
        load(folder, None, ("EURUSX",))


def test_two_files_for_one_instrument_stop(tmp_path):
    folder = fill(tmp_path / "a")
    (folder / "EURUSD_D1.csv.gz").write_bytes((folder / "EURUSD_D1.csv").read_bytes())
    with pytest.raises(DataError, match=r"several files for EURUSD: \['EURUSD_D1\.csv', 'EURUSD_D1\.csv\.gz'\]"):
        load(folder)


def test_a_name_that_lies_about_the_bar_length_stops(tmp_path):
    with pytest.raises(DataError, match=r"EURUSD D1 \(EURUSD_H1\.csv\).*`H1` was asked for"):
        load(fill(tmp_path / "a", "_H1"))


@pytest.mark.parametrize(
    ("step", "label", "enough"), [(DAY, "_D1", 500), (HOUR // 2, "_M30", 500), (HOUR // 12, "_M5", 1000)]
)
def test_too_few_common_bars_stop(tmp_path, step, label, enough):
    assert len(load(fill(tmp_path / "a", label, step=step, bars=enough))[0].time) == enough
    with pytest.raises(DataError, match=rf"share {enough - 1} of {enough - 1} bars .* {enough} .* are needed"):
        load(fill(tmp_path / "b", label, step=step, bars=enough - 1))


def test_bars_that_never_meet_stop(tmp_path):
    folder = fill(tmp_path / "a", step=HOUR, label="_H1", bars=900)
    write_bars(folder / "SPX500_H1.csv", weekdays(900, HOUR) + HOUR // 2, walk(900, 1, 3000.0))
    with pytest.raises(DataError, match="share 0 of .* EURUSD 50%, SPX500 50%.*different minutes"):
        load(folder)


def test_less_than_two_years_and_file_warnings_are_passed_on(tmp_path):
    folder = fill(tmp_path / "a", bars=510)
    write_bars(folder / "EURUSD_D1.csv", weekdays(510), walk(510), form="space")
    _, _, warnings, _ = load(folder)
    assert warnings[0] == "EURUSD_D1.csv: timestamps state no time zone and are taken as UTC"
    assert warnings[1].startswith("the bars cover 1.9 years")


def test_options_reach_the_reader(tmp_path):
    folder = fill(tmp_path / "a", bars=510)
    for symbol in SYMBOLS:
        write_bars(folder / f"{symbol}_D1.csv", weekdays(510), walk(510), form="space")
    shifted = load(folder, data=DataSpec(embargo_bars=10, time_zone="Etc/GMT+5"))[0]
    assert np.array_equal(shifted.time, weekdays(510) + 5 * HOUR)
    sick = walk(510, 1, 3000.0)
    sick[10, 2] = -1.0
    write_bars(folder / "SPX500_D1.csv", weekdays(510), sick)
    with pytest.raises(DataError, match=r"SPX500_D1\.csv, row 12: a price is zero or negative"):
        load(folder)
