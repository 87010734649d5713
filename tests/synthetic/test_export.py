"""Exported files hold the same bits."""

import csv
import json

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.errors import ConfigError, DataError
from mtquant.synthetic import build_planted
from mtquant.synthetic.export import CLOCK, TRUTH, export_csv, load_truth

TINY = {"train_histories": 2, "validation_histories": 1, "test_histories": 1, "history_bars": 40}


@pytest.fixture
def planted():
    return build_planted("embedded", TINY, Streams(4), ("USDJPY", "WTIUSD"))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_bars_and_macro_columns_come_back_bit_for_bit(planted, tmp_path):
    export_csv(planted, tmp_path / "market")
    for split in ("train", "validation", "test"):
        for index, (start, stop) in enumerate(planted.splits[split].segments):
            folder = tmp_path / "market" / split / f"{index:03d}"
            assert sorted(p.name for p in folder.iterdir()) == ["USDJPY.csv", "WTIUSD.csv", "macro.csv"]
            for k, symbol in enumerate(planted.market.symbols):
                header, *lines = rows(folder / f"{symbol}.csv")
                assert header == ["timestamp", "open", "high", "low", "close", "volume"]
                found = np.array([[float(v) for v in line[1:]] for line in lines])
                assert np.array_equal(found, planted.market.ohlcv[start:stop, k])
                stamps = np.array([line[0].removesuffix("Z") for line in lines], dtype="datetime64[ns]")
                assert np.array_equal(stamps.astype(np.int64), planted.market.time[start:stop])
                assert all(line[0].endswith("Z") for line in lines)
            header, *lines = rows(folder / "macro.csv")
            assert tuple(header[1:]) == planted.market.macro_names
            found = np.array([[float(v) for v in line[1:]] for line in lines])
            assert np.array_equal(found, planted.market.macro[start:stop])


def test_the_clock_says_how_long_a_year_is(planted, tmp_path):
    export_csv(planted, tmp_path)
    assert json.loads((tmp_path / CLOCK).read_text()) == {"timeframe": "D1", "bars_per_year": 260.0}


def test_truth_comes_back(planted, tmp_path):
    export_csv(planted, tmp_path)
    truth = load_truth(tmp_path / TRUTH)
    for name in ("alpha", "regime", "posterior", "correlation", "volatility"):
        assert np.array_equal(getattr(truth, name), getattr(planted.truth, name))
    assert truth.params == planted.truth.params and truth.objective == planted.truth.objective
    assert (truth.symbols, truth.groups, truth.group_of) == (("USDJPY", "WTIUSD"), ("forex", "commodities"), (0, 1))


def test_nothing_is_overwritten_or_lost(planted, tmp_path):
    (tmp_path / "mine.csv").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        export_csv(planted, tmp_path)
    with pytest.raises(ConfigError, match="not in its prices"):
        export_csv(build_planted("gp-easy", TINY, Streams(0)), tmp_path / "new")
    with pytest.raises(DataError, match="truth"):
        load_truth(tmp_path / "mine.csv")
    with pytest.raises(DataError, match="truth"):
        load_truth(tmp_path / "absent.npz")
