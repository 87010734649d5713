"""`init`: a folder to start from, with settings that fit the bars that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mtquant.errors import DataError, MTQuantError, UsageError
from mtquant.store.files import make_folder, write_new

SETTINGS, IGNORE, RAW = "mtquant.yaml", ".gitignore", Path("data") / "raw"
HINT = "README.txt"

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to start in; it is made if missing.")]
DataOption = Annotated[Path | None, typer.Option("--data", "-d", help="Folder of bars to write the settings for.")]


@dataclass(frozen=True)
class Found:
    """What a folder of bars holds."""

    source: Path
    timeframe: str
    symbols: tuple[str, ...]
    """Instruments to trade: readable, of that bar length, and with costs in the catalogue."""
    other_timeframes: Mapping[str, int]
    """Other bar lengths to the number of files that have them."""
    unreadable: Mapping[str, str]
    """File to what is wrong with it."""
    without_costs: tuple[str, ...]
    """Instruments whose bars are fine, but that have no entry in the catalogue."""


def init(folder: FolderArgument = Path(), data: DataOption = None) -> None:
    """Make a starting folder: settings to fill in, a place for bars, what git should ignore."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Name a folder to start in.")
    target = folder / SETTINGS
    if target.exists():
        raise UsageError(f"{target} is there already and is not overwritten. Name another folder, or edit it.")
    found = look(data) if data is not None else None
    make_folder(folder / RAW)
    write_new(folder / RAW / HINT, _HINT.encode())
    ignored = write_new(folder / IGNORE, _IGNORE.encode())
    write_new(target, settings_text(found, folder).encode())
    _say_written(folder, found, ignored)
    if found is not None:
        _try_out(target, found)
    _say_next(folder, found)


def look(source: Path) -> Found:
    """Return what a folder of bars holds. Raises `DataError` where there is nothing to train on."""
    from mtquant.cli.options import resolved_settings
    from mtquant.data import timeframes
    from mtquant.data.bars import read_bars
    from mtquant.data.folder import list_files

    if not source.is_dir():
        raise DataError(f"{source} is no folder. Name the folder that holds one file of bars per instrument.")
    catalogue = resolved_settings("default", None).catalogue.instruments
    frames: dict[str, set[str]] = {}
    unreadable = {}
    for one in list_files(source):
        known = catalogue.get(one.symbol)
        try:
            bars = read_bars(one.path, one.symbol, price_may_be_negative=known is None or known.price_may_be_negative)
            frames.setdefault(one.timeframe or timeframes.inferred(bars.time), set()).add(one.symbol)
        except DataError as error:
            unreadable[one.path.name] = str(error)
    if not frames:
        listed = "".join(f"\n  {name}: {why}" for name, why in unreadable.items())
        raise DataError(f"{source} holds no bars that can be read (CSV, gz, zip, parquet).{listed}")
    frame = max(frames, key=lambda label: (len(frames[label] & set(catalogue)), timeframes.length(label)))
    others = {label: len(files) for label, files in frames.items() if label != frame}
    symbols = tuple(symbol for symbol in catalogue if symbol in frames[frame])
    unknown = tuple(sorted(frames[frame] - set(symbols)))
    if not symbols:
        raise DataError(
            f"{source} holds bars of {', '.join(unknown)}, none of which has costs in the catalogue. Name the files "
            f"after instruments that have ({', '.join(catalogue)}), or state costs first (docs/data.md)."
        )
    return Found(source, frame, symbols, others, unreadable, unknown)


def settings_text(found: Found | None, folder: Path) -> str:
    """Return the settings file; what is not stated keeps its default."""
    if found is None:
        return _HEAD + _WITHOUT_DATA + _LENGTHS
    lines = [
        "data:",
        f"  source: {_source(found.source, folder)}",
        f"  timeframe: {found.timeframe}",
        "",
        "environment:",
        f"  instruments: [{', '.join(found.symbols)}]",
        "",
    ]
    return _HEAD + "\n".join(lines) + _costs_text(found.without_costs) + _LENGTHS


def _source(source: Path, folder: Path) -> str:
    """Return the folder of bars as seen from the folder of the settings where it lies inside, else in full."""
    inside = source.resolve().is_relative_to(folder.resolve())
    path = source.resolve().relative_to(folder.resolve()) if inside else source.resolve()
    return f'"{path.as_posix()}"'


def _costs_text(symbols: Sequence[str]) -> str:
    if not symbols:
        return ""
    lines = ["", "# There are bars of these too. State their costs, then add them to the list above:", "# catalogue:"]
    lines.append("#   instruments:")
    lines += [f"#     {symbol}: {{group: equity, half_spread_bps: 1.0}}" for symbol in symbols]
    return "\n".join(lines) + "\n"


def _say_written(folder: Path, found: Found | None, ignored: bool) -> None:
    typer.echo(f"{folder / SETTINGS}: settings, only what differs from the defaults")
    typer.echo(f"{folder / RAW}: a place for bars, one file per instrument")
    kept = "" if ignored else " (was there and stays as it is: add models/ and logs/ yourself)"
    typer.echo(f"{folder / IGNORE}: results and bars stay out of git{kept}")
    if found is None:
        return
    typer.echo(f"{found.source}: {found.timeframe} bars of {', '.join(found.symbols)}")
    for symbol in found.without_costs:
        typer.echo(f"  left out: {symbol} has no costs in the catalogue; {SETTINGS} shows how to state them")
    for label, count in found.other_timeframes.items():
        typer.echo(f"  left out: {count} files of {label} bars; `data.timeframe` in {SETTINGS} chooses")
    for name, why in found.unreadable.items():
        typer.echo(f"  left out: {name}: {why}")


def _try_out(target: Path, found: Found) -> None:
    """Read the bars as training would, so that its first complaint comes now."""
    from mtquant.config.load import resolve
    from mtquant.execution.sources import open_source

    try:
        source = open_source(resolve(None, target, [f"data.source={found.source.resolve()}"]).spec)
    except MTQuantError as error:
        raise type(error)(f"{target} is written, but training would stop: {error}") from error
    for warning in source.warnings:
        typer.echo(f"  warning: {warning}")


def _say_next(folder: Path, found: Found | None) -> None:
    config = f"--config {SETTINGS}"
    typer.echo("\nNext:")
    commands = [] if folder.resolve() == Path.cwd() else [f"cd {folder}"]
    commands += [] if found else ["mtquant import YOUR-BARS --out data/raw  # or train on the generated market first"]
    commands += [f"mtquant plan {config}", f"mtquant train --profile smoke --engine direct {config}  # a minute or two"]
    for command in [*commands, f"mtquant train {config}"]:
        typer.echo(f"  {command}")


_HEAD = """\
# Settings of this project: only what differs from the defaults. `mtquant config explain` says what there is,
# `mtquant config check --config mtquant.yaml` says what is wrong, `mtquant train --config mtquant.yaml` uses it.

"""
_WITHOUT_DATA = """\
# The generated market, whose optimum is known, until you name a folder with one file of bars per instrument:
# data:
#   source: data/raw
#   timeframe: D1
# environment:
#   instruments: [EURUSD, XAUUSD, US30]
"""
_LENGTHS = """
# How long training takes. These are the defaults:
# phase1: {timesteps: 500_000}     # bars per specialist
# phase2: {timesteps: 300_000}     # decisions of the meta-controller
# phase3: {timesteps: 1_000_000}   # joint bars

# Another number gives another training from the same settings:
# seed: 0
"""
_HINT = """\
Bars of your own: one file per instrument, named <SYMBOL>_<BAR LENGTH>, as in EURUSD_D1.csv or XAUUSD_H1.csv.gz.
`mtquant import FOLDER --out data/raw` checks files of many programs and writes them here.
"""
_IGNORE = """\
# what mtquant makes
models/
logs/
# bars are yours, and often may not be passed on
data/
"""
