"""A planted market comes back from its exported files bit for bit."""

import shutil

import numpy as np
import pytest

from mtquant.config.agents import DataSpec
from mtquant.context import Streams
from mtquant.data.folder import load_folder
from mtquant.errors import DataError
from mtquant.synthetic import build_planted
from mtquant.synthetic.export import export_csv
from tests.data.make import catalogue

SYMBOLS = ("EURUSD", "WTIUSD", "SPX500")
SMALL = {"train_histories": 12, "validation_histories": 1, "test_histories": 2, "history_bars": 60}


@pytest.fixture
def planted():
    return build_planted("embedded", SMALL, Streams(5), SYMBOLS)


@pytest.fixture
def folder(planted, tmp_path):
    export_csv(planted, tmp_path / "market")
    return tmp_path / "market"


def load(folder, symbols=SYMBOLS):
    return load_folder(folder, symbols, None, catalogue(), DataSpec())


def test_bars_macro_and_splits_come_back_bit_for_bit(planted, folder):
    market, splits, _, provenance = load(folder)
    assert market.fingerprint == planted.market.fingerprint
    assert (market.timeframe, market.macro_names) == ("D1", planted.market.macro_names)
    assert splits == planted.splits
    assert provenance["WTIUSD"].startswith("15 histories of market, 900 bars, first file sha256 ")


def test_bars_per_year_is_inferred_where_no_file_tells(planted, folder):
    (folder / "market.json").unlink()
    market, *_ = load(folder)
    assert abs(market.bars_per_year - 261) < 6
    assert np.array_equal(market.ohlcv, planted.market.ohlcv) and np.array_equal(market.macro, planted.market.macro)


def test_hours_come_back_too(tmp_path):
    planted = build_planted("embedded-hourly", SMALL, Streams(6), SYMBOLS[:1])
    export_csv(planted, tmp_path / "market")
    market, *_ = load(tmp_path / "market", SYMBOLS[:1])
    assert market.timeframe == "H1" and np.array_equal(market.macro, planted.market.macro)
    assert np.array_equal(market.time, planted.market.time)


def test_histories_are_in_order_of_their_numbers(planted, folder):
    for split in ("train", "validation", "test"):
        for history in sorted((folder / split).iterdir()):
            history.rename(history.with_name(f"h{int(history.name)}"))
    assert np.array_equal(load(folder)[0].ohlcv, planted.market.ohlcv)


def test_gaps_in_the_layout_stop(folder):
    (folder / "train" / "003" / "SPX500.csv").unlink()
    with pytest.raises(DataError, match=r"003 has no SPX500\.csv; there is: \['EURUSD\.csv'"):
        load(folder)
    assert load(folder, ("EURUSD",))[0].symbols == ("EURUSD",)
    (folder / "train" / "003" / "macro.csv").unlink()
    with pytest.raises(DataError, match="differ in bar length or macro columns"):
        load(folder, ("EURUSD",))
    shutil.rmtree(folder / "validation")
    with pytest.raises(DataError, match="no histories in `validation/`"):
        load(folder, ("EURUSD",))
