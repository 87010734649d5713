"""Real files, where they are present: each ends as documented, accepted or refused."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from mtquant.config.agents import INSTRUMENTS, DataSpec, FeatureSpec
from mtquant.config.instruments import InstrumentsSpec
from mtquant.context import market_data_root
from mtquant.data.bars import read_bars
from mtquant.data.features import build_dataset
from mtquant.data.folder import load_folder
from mtquant.errors import DataError

ROOT = market_data_root()
CONFIG = Path(__file__).parents[2] / "config" / "instruments.yaml"
pytestmark = pytest.mark.skipif(ROOT is None, reason="no folder of real bars: set MTQUANT_MARKET_DATA")

ACCEPTED = {
    "@CL - 30 min - ETH.csv": ("WTIUSD", "chart-export", 23_764, "2020-06-29T01:00", "taken as UTC"),
    "FOREX_EURUSD_1H_ASK_dukascopy_ddmmyyyy.csv": ("EURUSD", "dukascopy", 6_225, "2017-01-01T22:00", "taken as UTC"),
    "NQ - 30 min - ETH.csv": ("NQ", "chart-export", 23_666, "2020-06-29T01:00", "taken as UTC"),
    "USA30IDXUSD_H1_tab_head5000.csv": ("US30", "named-columns", 4_999, "2013-05-23T00:00", "taken as UTC"),
    "USDJPY_H1_mt5_crlf_head4000.csv": ("USDJPY", "metatrader", 3_999, "2016-03-21T00:00", "taken as UTC"),
    "XAUUSDh1_scaled_x100_ints.csv": ("XAUUSD", "named-columns", 57_600, "2012-05-17T08:00", "multiplied by 100"),
    "^DJI_yfinance_multiheader_head.csv": ("US30", "yahoo-multi-header", 10, "2025-09-08T00:00", "taken as UTC"),
    "eurusd_lean_hour_bidask_noheader.zip": ("EURUSD", "lean-quotes", 74_439, "2007-01-01T21:00", "bid and ask"),
}
REFUSED = {
    "CL=F_yahoo_negative_price.csv": ("WTIUSD", r"rows 159, 200, .*open or close lies outside"),
    "EURUSD=X_yahoo_bad_ticks.csv": ("EURUSD", r"rows 104, 246, .*open or close lies outside"),
    "EURUSD_H1_mt5_tab_dayrange_leak.csv": ("EURUSD", r"the 00:00 bars carry the high and low of the whole day"),
    "NQ_30m_day_month_swapped.csv": ("NQ", r"day and month are exchanged"),
}


def raw(name: str) -> Path:
    assert ROOT is not None
    path = ROOT / "raw" / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the folder of real bars")
    return path


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_files(name):
    symbol, dialect, rows, first, warning = ACCEPTED[name]
    bars = read_bars(raw(name), symbol, price_may_be_negative=symbol == "WTIUSD")
    assert (bars.dialect, len(bars.time)) == (dialect, rows)
    assert str(np.datetime64(int(bars.time[0]), "ns").astype("datetime64[m]")) == first
    assert any(warning in w for w in bars.warnings)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files(name):
    symbol, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        read_bars(raw(name), symbol, price_may_be_negative=True)


def test_negative_oil_needs_leave_and_bad_ticks_are_told_once_ranges_are_widened():
    repairs = ("widen-range",)
    with pytest.raises(DataError, match=r"rows 493\d.*zero or negative.*price_may_be_negative"):
        read_bars(raw("CL=F_yahoo_negative_price.csv"), "WTIUSD", repairs=repairs)
    oil = read_bars(raw("CL=F_yahoo_negative_price.csv"), "WTIUSD", repairs=repairs, price_may_be_negative=True)
    assert oil.ohlcv[:, 3].min() < -30 and "repair `widen-range` changed 7 bars" in oil.warnings
    euro = read_bars(raw("EURUSD=X_yahoo_bad_ticks.csv"), "EURUSD", repairs=repairs)
    assert "repair `widen-range` changed 98 bars" in euro.warnings
    assert any("closes look like bad ticks" in w for w in euro.warnings)
    assert any("highs or lows look like bad ticks" in w for w in euro.warnings)


@pytest.mark.parametrize(("timeframe", "common"), [("D1", 3_780), ("H4", None), ("H1", 11_693)])
def test_the_eight_instruments_load_and_give_finite_features(timeframe, common):
    assert ROOT is not None
    catalogue = InstrumentsSpec.model_validate(yaml.safe_load(CONFIG.read_text()))
    market, splits, warnings, provenance = load_folder(ROOT, INSTRUMENTS, timeframe, catalogue, DataSpec())
    if common:
        assert int(market.tradable.all(axis=1).sum()) == common
    assert market.timeframe == timeframe and set(provenance) == set(INSTRUMENTS)
    spec = FeatureSpec(regimes=True, sessions=True)
    dataset = build_dataset(market, splits, spec, planted=False, warnings=warnings, catalogue=catalogue)
    for array in (dataset.features, dataset.macro, dataset.point_volatility):
        assert np.isfinite(array).all()
    assert (dataset.point_volatility > 0).all()
    assert dataset.correlation[5, 6] > 0.6 and np.linalg.eigvalsh(dataset.correlation).min() > 0.02
    assert all("(proxy)" in name for name in dataset.macro_names)
    if timeframe == "D1":
        assert abs(market.bars_per_year - 260) < 3 and market.close[:, 4].min() < -30
        assert any("divided by 100" in w for w in warnings)
