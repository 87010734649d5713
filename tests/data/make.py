"""Small bars, files and markets for the tests of the data layer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.context import Streams
from mtquant.data.bars import Bars
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
MONDAY = int(np.datetime64("2018-01-01", "ns").astype(np.int64))
GROUPS = {"EURUSD": "forex", "USDJPY": "forex", "XAUUSD": "commodities", "WTIUSD": "commodities", "SPX500": "equity"}
PLAIN = "timestamp,open,high,low,close,volume"


def walk(bars: int, seed: int = 0, start: float = 1.1, step: float = 0.004, volume: float = 100.0) -> np.ndarray:
    """Return `[bars, 5]` of a random walk with consistent candles, rounded to five decimals."""
    rng = Streams(seed).rng("walk")
    close = np.round(start * (1 + step * np.cumsum(rng.standard_normal(bars))), 5)
    opened = np.round(np.concatenate([[start], close[:-1]]) * (1 + 0.1 * step * rng.standard_normal(bars)), 5)
    spread = np.round(start * step * 0.5 * rng.random((bars, 2)), 5)
    high = np.round(np.maximum(opened, close) + spread[:, 0], 5)
    low = np.round(np.minimum(opened, close) - spread[:, 1], 5)
    amount = np.round(volume * np.exp(0.3 * rng.standard_normal(bars)))
    return np.stack([opened, high, low, close, amount], axis=1)


def weekdays(bars: int, step: int = DAY, start: int = MONDAY) -> np.ndarray:
    """Return `[bars]` times that are `step` apart and leave Saturdays and Sundays out."""
    time = start + np.arange(3 * bars + 200) * step
    weekday = (time // DAY + 3) % 7
    return time[weekday < 5][:bars]


def stamps(time: np.ndarray, form: str = "iso") -> list[str]:
    """Return times as text: `iso` with Z, `space` without zone, `dots` day first, `slash-day`, `slash-month`."""
    out = []
    for t in time:
        date, clock = str(np.datetime64(int(t), "s" if t < 1e12 else "ns").astype("datetime64[s]")).split("T")
        year, month, day = date.split("-")
        out.append(
            {
                "iso": f"{date}T{clock}Z",
                "space": f"{date} {clock}",
                "dots": f"{day}.{month}.{year} {clock}.000",
                "slash-day": f"{day}/{month}/{year} {clock}",
                "slash-month": f"{month}/{day}/{year} {clock}",
                "metatrader": f"{year}.{month}.{day} {clock}",
                "compact": f"{year}{month}{day} {clock.replace(':', '')}",
            }[form]
        )
    return out


def lines(time: np.ndarray, ohlcv: np.ndarray, form: str = "iso", delimiter: str = ",") -> list[str]:
    """Return one line of text per bar, floats with every digit."""
    return [
        delimiter.join([stamp, *(repr(float(v)) for v in row)])
        for stamp, row in zip(stamps(time, form), ohlcv, strict=True)
    ]


def write_bars(path: Path, time: np.ndarray, ohlcv: np.ndarray, header: str = PLAIN, form: str = "iso") -> Path:
    """Write a comma-separated file and return its path."""
    path.write_text("\n".join([header, *lines(time, ohlcv, form)]) + "\n")
    return path


def as_bars(symbol: str, time: np.ndarray, ohlcv: np.ndarray) -> Bars:
    """Return bars that did not come from a file."""
    return Bars(symbol, time.copy(), ohlcv.copy(), "made", (), "0" * 64, f"{symbol}.csv")


def catalogue(symbols: Sequence[str] = tuple(GROUPS)) -> InstrumentsSpec:
    """Return entries for `symbols`; only WTIUSD may be negative."""
    return InstrumentsSpec(
        instruments={
            s: InstrumentSpec(group=GROUPS[s], half_spread_bps=1.0, price_may_be_negative=s == "WTIUSD")
            for s in symbols
        }
    )


def real_like_market(bars: int = 700, seed: int = 0, histories: int = 1, missing: float = 0.1) -> Market:
    """Return five instruments, some of whose bars are missing and one of which goes negative."""
    symbols = tuple(GROUPS)
    rng = Streams(seed).rng("market")
    starts = np.array([1.1, 110.0, 1500.0, 3.0, 3000.0])
    ohlcv = np.stack([walk(bars, seed * 10 + k, s, 0.08 if k == 3 else 0.005) for k, s in enumerate(starts)], axis=1)
    tradable = rng.random((bars, len(symbols))) >= missing
    edges = np.linspace(0, bars, histories + 1).astype(int)
    tradable[edges[:-1]] = True
    for t in range(bars):
        for k in np.flatnonzero(~tradable[t]):
            ohlcv[t, k] = [ohlcv[t - 1, k, 3]] * 4 + [0.0]
    history = np.repeat(np.arange(histories), np.diff(edges))
    return Market(symbols, weekdays(bars), ohlcv, tradable, history, "D1", 261.0)


def three_way(bars: int, train: float = 0.6) -> Splits:
    """Return splits of one history at 60 and 80 %."""
    first, second = int(bars * train), int(bars * (1 + train) / 2)
    ranges = ((0, first), (first, second), (second, bars))
    return Splits(*(Split(n, (r,)) for n, r in zip(("train", "validation", "test"), ranges, strict=True)))
