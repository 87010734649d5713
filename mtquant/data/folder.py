"""A folder of bar files as a market: which file belongs to which instrument, and how the data are split."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtquant.config.agents import DataSpec
from mtquant.config.instruments import InstrumentsSpec
from mtquant.data import timeframes
from mtquant.data.align import YEAR, align, common_bars, day
from mtquant.data.bars import Bars, read_bars
from mtquant.data.histories import is_history_layout, load_histories
from mtquant.data.macro_file import attach, read_macro
from mtquant.data.market import Market
from mtquant.data.splits import Splits, by_fraction
from mtquant.errors import ConfigError, DataError
from mtquant.registry import did_you_mean

ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".zip", ".parquet")
MACRO_FILE = "macro.csv"
LEAST_YEARS = 2.0

Loaded = tuple[Market, Splits, tuple[str, ...], dict[str, str]]


@dataclass(frozen=True)
class Named:
    """A bar file by its name: `<SYMBOL>_<TIMEFRAME><ending>` or `<SYMBOL><ending>`."""

    path: Path
    symbol: str
    timeframe: str | None


def load_folder(
    folder: Path, symbols: Sequence[str], timeframe: str | None, catalogue: InstrumentsSpec, data: DataSpec
) -> Loaded:
    """Return market, splits, warnings and provenance of the bars in `folder`.

    Files of other instruments and bar lengths are ignored; `macro.csv` is added where present; the layout
    `<split>/<history>/<SYMBOL>.csv` that planted markets are exported in keeps its own splits. Raises `DataError`
    for missing or broken files and for too few common bars, `ConfigError` for an instrument without an entry.
    """
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} does not exist. Set `data.source` to a folder of bars.")
    for symbol in symbols:
        if symbol not in catalogue.instruments:
            raise ConfigError(f"{symbol} has no entry in the catalogue.{did_you_mean(symbol, catalogue.instruments)}")
    if is_history_layout(folder):
        market, splits, provenance = load_histories(folder, symbols, timeframe)
        return market, splits, _size_warnings(market), provenance
    files, frame = choose_files(folder, symbols, timeframe)
    bars = [_read(files[symbol], symbol, catalogue, data) for symbol in symbols]
    market = align(bars, frame)
    warnings = [f"{b.source}: {warning}" for b in bars for warning in b.warnings]
    _enough(market)
    if (folder / MACRO_FILE).is_file():
        market, notes = attach(market, read_macro(folder / MACRO_FILE, data.time_zone, data.day_first))
        warnings += notes
    warnings += _size_warnings(market)
    provenance = {b.symbol: _line(b) for b in bars}
    return market, by_fraction(market, data), tuple(warnings), provenance


def list_files(folder: Path) -> list[Named]:
    """Return the bar files of a folder by what their names say; other files are left out."""
    out = []
    for path in sorted(folder.iterdir()):
        ending = next((e for e in sorted(ENDINGS, key=len, reverse=True) if path.name.lower().endswith(e)), None)
        if ending is None or path.name.lower() == MACRO_FILE or not path.is_file():
            continue
        stem = path.name[: -len(ending)]
        match = re.fullmatch(r"(.+)[_\-]([A-Za-z]\d+)", stem)
        if match and timeframes.is_label(match[2].upper()):
            out.append(Named(path, match[1].upper(), match[2].upper()))
        else:
            out.append(Named(path, stem.upper(), None))
    return out


def choose_files(folder: Path, symbols: Sequence[str], timeframe: str | None) -> tuple[dict[str, Path], str | None]:
    """Return the file of each symbol and the bar length (None: to be inferred).

    Raises `DataError` where an instrument has no file or several, or where several bar lengths would do.
    """
    named = list_files(folder)
    found: dict[str, dict[str | None, list[Path]]] = {s: {} for s in symbols}
    for one in named:
        for symbol in symbols:
            if one.symbol == symbol.upper():
                found[symbol].setdefault(one.timeframe, []).append(one.path)
    frame = timeframe or _only_timeframe(folder, found)
    chosen: dict[str, Path] = {}
    for symbol in symbols:
        paths = found[symbol].get(frame) or found[symbol].get(None) or []
        if not paths:
            raise _missing(folder, symbols, found, frame, named)
        if len(paths) > 1:
            names = [path.name for path in paths]
            raise DataError(f"{folder} holds several files for {symbol}: {names}. Keep one of them.")
        chosen[symbol] = paths[0]
    return chosen, frame


def _only_timeframe(folder: Path, found: Mapping[str, Mapping[str | None, list[Path]]]) -> str | None:
    """Return the one bar length that every instrument has a file of; None where names say nothing."""
    labelled = [{frame for frame in files if frame} for files in found.values() if None not in files]
    shared = set.intersection(*labelled) if labelled else set()
    if len(shared) > 1:
        raise DataError(f"{folder} holds bars of {sorted(shared)}. Say which: set `data.timeframe`.")
    return next(iter(shared), None)


def _missing(
    folder: Path,
    symbols: Sequence[str],
    found: Mapping[str, Mapping[str | None, list[Path]]],
    frame: str | None,
    named: Sequence[Named],
) -> DataError:
    lacking = [s for s in symbols if not (found[s].get(frame) or found[s].get(None))]
    stems = [f"{lacking[0]}_{frame or '<TIMEFRAME>'}", lacking[0]]
    looked = ", ".join(f"{stem}{{{','.join(ENDINGS)}}}" for stem in stems)
    there = ", ".join(one.path.name for one in named[:40]) or "no bar files"
    return DataError(
        f"{folder} has no {frame + ' ' if frame else ''}bars of {', '.join(lacking)}. Looked for {looked}; there is: "
        f"{there}. Add the files, or change `environment.instruments` or `data.timeframe`."
    )


def _read(path: Path, symbol: str, catalogue: InstrumentsSpec, data: DataSpec) -> Bars:
    negative = catalogue.instruments[symbol].price_may_be_negative
    return read_bars(path, symbol, time_zone=data.time_zone, day_first=data.day_first, price_may_be_negative=negative)


def _line(bars: Bars) -> str:
    period = f"{day(bars.time[0])} to {day(bars.time[-1])}"
    return f"{bars.source}, {bars.dialect}, {len(bars.time)} bars, {period}, sha256 {bars.digest[:16]}"


def _enough(market: Market) -> None:
    """Raise `DataError` for fewer than 1000 common bars below half an hour, or 500 from there on."""
    least = 1000 if timeframes.length(market.timeframe) < timeframes.HALF_HOUR else 500
    common = common_bars(market)
    if common < least:
        present = market.tradable.mean(axis=0)
        shares = ", ".join(f"{s} {share:.0%}" for s, share in zip(market.symbols, present, strict=True))
        raise DataError(
            f"The instruments share {common} of {len(market.time)} bars from {day(market.time[0])} to "
            f"{day(market.time[-1])}; {least} {market.timeframe} bars are needed. Each has a bar in: {shares}. Bring a "
            "longer common period; where shares are near one half, the files stamp bars at different minutes or hours."
        )


def _size_warnings(market: Market) -> tuple[str, ...]:
    years = sum(float(market.time[stop - 1] - market.time[start]) for start, stop in market.history_bounds()) / YEAR
    if years >= LEAST_YEARS:
        return ()
    return (f"the bars cover {years:.1f} years; results on less than {LEAST_YEARS:g} years say little",)
