"""`gc`: what nothing in the store refers to any more, listed and, with `--apply`, removed."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mtquant.cli import options
from mtquant.cli.output import console, size, write_json
from mtquant.cli.progress import age
from mtquant.context import store_root
from mtquant.store.garbage import SAFE_SECONDS, Survey, collect, survey

ApplyOption = Annotated[bool, typer.Option("--apply", help="Remove what is listed; without it nothing is changed.")]
AgeOption = Annotated[float, typer.Option("--age", min=0, help="Hours that nothing in it may have changed.")]


def gc(apply: ApplyOption = False, age_hours: AgeOption = SAFE_SECONDS / 3600, as_json: options.Json = False) -> None:
    """List what no run and no promotion refers to, and with --apply remove it."""
    root = store_root()
    found = (collect if apply else survey)(root, age_hours * 3600)
    if as_json:
        write_json(_values(found, apply))
        return
    out = console()
    if found.garbage:
        out.print(_table(root, found))
    for entry in found.left:
        out.print(f"stays: {_short(root, entry.path)}: {entry.reason}", markup=False, highlight=False, soft_wrap=True)
    out.print(_summary(root, found, apply), markup=False, highlight=False, soft_wrap=True)


def _table(root: Path, found: Survey) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("what", "where", "size", "unchanged for", "why"):
        table.add_column(name, no_wrap=name != "why", justify="right" if name in ("size", "unchanged for") else "left")
    for entry in found.garbage:
        where = escape(_short(root, entry.path))
        table.add_row(entry.kind, where, size(entry.size_bytes), age(entry.age_seconds), escape(entry.reason))
    return table


def _summary(root: Path, found: Survey, applied: bool) -> str:
    if not found.garbage:
        return f"Nothing to remove in {root.absolute()}."
    counts = Counter(entry.kind for entry in found.garbage)
    kinds = ", ".join(
        f"{count} {kind}{'' if kind == 'quarantine' or count == 1 else 's'}" for kind, count in counts.items()
    )
    if applied:
        return f"Removed {size(found.size_bytes)} from {root.absolute()}: {kinds}."
    return f"{size(found.size_bytes)} may go: {kinds}. Nothing was changed; `mtquant gc --apply` removes it."


def _values(found: Survey, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "size_bytes": found.size_bytes,
        "garbage": [asdict(entry) for entry in found.garbage],
        "left": [asdict(entry) for entry in found.left],
    }


def _short(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
