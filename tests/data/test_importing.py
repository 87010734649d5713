"""Imported bars are what was read, with a manifest that tells what was found."""

import json

import numpy as np
import pytest

from mtquant.config.agents import DataSpec
from mtquant.data.bars import read_bars
from mtquant.data.folder import load_folder
from mtquant.data.importing import import_bars
from mtquant.errors import DataError
from mtquant.store.digests import digest_file
from tests.data.make import HOUR, catalogue, walk, weekdays, write_bars

BARS = 600


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    write_bars(folder / "EURUSD_D1.csv", weekdays(BARS), walk(BARS), form="slash-day")
    write_bars(folder / "SPX500.csv", weekdays(BARS), walk(BARS, 1, 3000.0))
    return folder


def test_a_folder_is_imported_and_can_be_loaded(raw, tmp_path):
    out = tmp_path / "out"
    manifest = import_bars(raw, out, catalogue=catalogue())
    assert sorted(p.name for p in out.iterdir()) == ["EURUSD_D1.parquet", "SPX500_D1.parquet", "manifest.json"]
    assert json.loads((out / "manifest.json").read_text()) == manifest
    entry = manifest["files"]["EURUSD_D1.parquet"]
    assert entry["dialect"] == "chart-export" and entry["rows"] == BARS and entry["timeframe"] == "D1"
    assert (entry["first"], entry["source"]) == ("2018-01-01T00:00:00Z", "EURUSD_D1.csv")
    assert entry["source_digest"] == digest_file(raw / "EURUSD_D1.csv")
    assert entry["digest"] == digest_file(out / "EURUSD_D1.parquet")
    assert any("taken as UTC" in w for w in entry["warnings"])
    both = [load_folder(f, ("EURUSD", "SPX500"), None, catalogue(), DataSpec(embargo_bars=0)) for f in (raw, out)]
    assert both[0][0].fingerprint == both[1][0].fingerprint
    assert any("EURUSD_D1.parquet: timestamps state no time zone" in w for w in both[1][2])
    assert ", chart-export, " in both[1][3]["EURUSD"]


def test_files_are_named_by_mapping_or_by_their_beginning(raw, tmp_path):
    (raw / "@CL - 30 min - ETH.csv").write_bytes((raw / "SPX500.csv").read_bytes())
    manifest = import_bars([raw / "@CL - 30 min - ETH.csv"], tmp_path / "a")
    assert list(manifest["files"]) == ["CL_D1.parquet"]
    manifest = import_bars({"WTIUSD": raw / "@CL - 30 min - ETH.csv"}, tmp_path / "b")
    assert list(manifest["files"]) == ["WTIUSD_D1.parquet"]
    (raw / "---.csv").write_text("x")
    with pytest.raises(DataError, match="does not begin with a symbol"):
        import_bars([raw / "---.csv"], tmp_path / "c")


def test_a_second_import_adds_and_replaces(raw, tmp_path):
    out = tmp_path / "out"
    import_bars(raw, out)
    write_bars(tmp_path / "XAUUSD.csv", weekdays(BARS, HOUR), walk(BARS, 2, 1500.0))
    write_bars(tmp_path / "SPX500.csv", weekdays(BARS), walk(BARS, 3, 3000.0))
    manifest = import_bars([tmp_path / "XAUUSD.csv", tmp_path / "SPX500.csv"], out)
    assert sorted(manifest["files"]) == ["EURUSD_D1.parquet", "SPX500_D1.parquet", "XAUUSD_H1.parquet"]
    for name, entry in manifest["files"].items():
        assert entry["digest"] == digest_file(out / name)
    assert np.array_equal(read_bars(out / "SPX500_D1.parquet", "SPX500").ohlcv, walk(BARS, 3, 3000.0))


def test_nothing_is_written_unless_everything_is_good(raw, tmp_path):
    sick = walk(BARS, 1, 3000.0)
    sick[5, 1] = 1.0
    write_bars(raw / "XAUUSD.csv", weekdays(BARS), sick)
    with pytest.raises(DataError, match=r"XAUUSD\.csv, row 7"):
        import_bars(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_reach_the_reader(tmp_path):
    below = walk(BARS, 1, 3.0)
    below[:, :4] -= 3.0
    path = write_bars(tmp_path / "WTIUSD.csv", weekdays(BARS)[::-1], below[::-1])
    with pytest.raises(DataError, match="newest"):
        import_bars([path], tmp_path / "out", catalogue=catalogue())
    with pytest.raises(DataError, match="negative"):
        import_bars([path], tmp_path / "out", repairs=("sort",))
    manifest = import_bars([path], tmp_path / "out", catalogue=catalogue(), repairs=("sort",))
    assert any("repair `sort`" in w for w in manifest["files"]["WTIUSD_D1.parquet"]["warnings"])


def test_clashes_and_absent_sources_stop(raw, tmp_path):
    (raw / "EURUSD.csv").write_bytes((raw / "EURUSD_D1.csv").read_bytes())
    with pytest.raises(DataError, match=r"would both become EURUSD_D1\.parquet"):
        import_bars(raw, tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        import_bars(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no bar files"):
        import_bars(tmp_path / "empty", tmp_path / "out")
