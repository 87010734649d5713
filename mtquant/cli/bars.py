"""`import`: bar files of any known dialect become checked parquet."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mtquant.cli import options
from mtquant.errors import UsageError

PathsArgument = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, SYMBOL=FILE, or one folder.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the parquet files and their manifest.")]
ZoneOption = Annotated[str, typer.Option("--time-zone", help="Time zone of timestamps that do not state one.")]
DayFirst = Annotated[
    bool | None, typer.Option("--day-first/--month-first", help="Order of day and month where a file leaves it open.")
]
RepairOption = Annotated[list[str] | None, typer.Option("--repair", help="A named repair; asked for, never silent.")]


def import_files(
    paths: PathsArgument,
    out: OutOption,
    time_zone: ZoneOption = "UTC",
    day_first: DayFirst = None,
    repair: RepairOption = None,
    as_json: options.Json = False,
) -> None:
    """Check files of bars, report what was found, and write parquet that `train --data` reads."""
    from mtquant.data.importing import import_bars

    catalogue = options.resolved_settings(None, None).catalogue
    manifest = import_bars(
        _sources(paths), out, catalogue=catalogue, time_zone=time_zone, day_first=day_first, repairs=repair or ()
    )
    if as_json:
        typer.echo(json.dumps(manifest, indent=1, default=str))
        return
    for name, entry in manifest["files"].items():
        _say(name, entry)
    typer.echo(f"{len(manifest['files'])} files in {out.absolute()}. Train on them: mtquant train --data {out}")


def _sources(paths: list[str]) -> dict[str, Path] | list[Path] | Path:
    """Return what `import_bars` takes: `SYMBOL=FILE` entries, files, or one folder."""
    named = [path for path in paths if "=" in path and not Path(path).exists()]
    if named:
        if len(named) != len(paths):
            raise UsageError("Give either SYMBOL=FILE for all files or for none.")
        pairs = [path.split("=", 1) for path in named]
        if len({symbol for symbol, _ in pairs}) != len(pairs):
            raise UsageError("A symbol is named twice. Import its files into different folders.")
        return {symbol: Path(file) for symbol, file in pairs}
    if len(paths) == 1:
        only = Path(paths[0])
        return only if only.is_dir() or not only.exists() else [only]
    return [Path(path) for path in paths]


def _say(name: str, entry: dict[str, Any]) -> None:
    facts = [f"{entry[key]}" for key in ("dialect", "bars", "first", "last") if key in entry]
    typer.echo(f"{name}: {', '.join(facts)}")
    for warning in entry.get("warnings", ()):
        typer.echo(f"  warning: {warning}")
