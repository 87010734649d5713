"""`import_bars`: files of any dialect become checked parquet with a manifest that says what was found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.config.instruments import InstrumentsSpec
from mtquant.data import parquet, timeframes
from mtquant.data.bars import Bars, read_bars
from mtquant.data.folder import list_files
from mtquant.errors import DataError
from mtquant.store.digests import digest_file
from mtquant.store.files import make_folder, write_atomic

MANIFEST = "manifest.json"
FORMAT = 1


def import_bars(
    sources: Mapping[str, Path] | Sequence[Path] | Path,
    out: Path,
    *,
    catalogue: InstrumentsSpec | None = None,
    time_zone: str = "UTC",
    day_first: bool | None = None,
    repairs: Sequence[str] = (),
) -> dict[str, Any]:
    """Check bar files, write `<SYMBOL>_<TF>.parquet` and `manifest.json` into `out`, and return the manifest.

    `sources` are files by symbol, files whose names begin with the symbol (`EURUSD_H1.csv`), or a folder of such.
    All files are checked before the first is written. Earlier entries of the manifest for other instruments stay.
    Raises `DataError` as `read_bars` does, and where two files would get the same name.
    """
    checked: dict[str, tuple[Bars, Path]] = {}
    for symbol, path in _pairs(sources):
        negative = _may_be_negative(catalogue, symbol)
        bars = read_bars(
            path, symbol, time_zone=time_zone, day_first=day_first, price_may_be_negative=negative, repairs=repairs
        )
        name = f"{symbol}_{timeframes.inferred(bars.time)}.parquet"
        if name in checked:
            raise DataError(f"{checked[name][1]} and {path} would both become {name}. Import one of them.")
        checked[name] = (bars, path)
    make_folder(out)
    entries = {name: _write(out / name, bars, time_zone) for name, (bars, _) in checked.items()}
    manifest = {"format": FORMAT, "files": {**_earlier(out), **entries}}
    write_atomic(out / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    return manifest


def _pairs(sources: Mapping[str, Path] | Sequence[Path] | Path) -> list[tuple[str, Path]]:
    if isinstance(sources, Mapping):
        return list(sources.items())
    if isinstance(sources, Path):
        if not sources.exists():
            raise DataError(f"{sources} does not exist. Name a file or a folder of bars.")
        if sources.is_dir():
            found = [(one.symbol, one.path) for one in list_files(sources)]
            if not found:
                raise DataError(f"{sources} holds no bar files (`.csv`, `.csv.gz`, `.zip`, `.parquet`).")
            return found
        sources = [sources]
    return [(_symbol(path), path) for path in sources]


def _symbol(path: Path) -> str:
    """Return what the file name begins with: letters, digits and dots up to the first other character."""
    name = path.name.split(".")[0].lstrip("@^")
    symbol = "".join(c if c.isalnum() else " " for c in name).split()
    if not symbol:
        raise DataError(f"{path.name} does not begin with a symbol. Say which: `SYMBOL=FILE`.")
    return symbol[0].upper()


def _may_be_negative(catalogue: InstrumentsSpec | None, symbol: str) -> bool:
    spec = catalogue.instruments.get(symbol) if catalogue else None
    return spec.price_may_be_negative if spec else False


def _write(path: Path, bars: Bars, time_zone: str) -> dict[str, Any]:
    about = {
        "symbol": bars.symbol,
        "source": bars.source,
        "source_digest": bars.digest,
        "dialect": bars.dialect,
        "time_zone": time_zone,
        "warnings": list(bars.warnings),
    }
    parquet.write(path, bars.time, bars.ohlcv, about)
    return about | {
        "timeframe": timeframes.inferred(bars.time),
        "rows": len(bars.time),
        "first": _stamp(bars.time[0]),
        "last": _stamp(bars.time[-1]),
        "digest": digest_file(path),
    }


def _stamp(time: np.int64) -> str:
    return f"{np.datetime64(int(time), 'ns').astype('datetime64[s]')}Z"


def _earlier(out: Path) -> dict[str, Any]:
    """Return the entries of an existing manifest whose files are still there."""
    path = out / MANIFEST
    if not path.is_file():
        return {}
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no manifest of imported bars ({error}). Import into another folder.") from error
    return {name: entry for name, entry in files.items() if (out / name).is_file()}
