"""Where commands write: tables and lines for people, JSON for programs."""

import json
import sys
from typing import Any

from rich.console import Console

from mtquant.cli.view import PLAIN_WIDTH


def console() -> Console:
    """Return standard output for people; without a terminal, wide enough that tables do not fold."""
    found = Console()
    return found if found.is_terminal else Console(width=PLAIN_WIDTH)


def write_json(values: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(values, indent=1, default=str) + "\n")


def size(count: float) -> str:
    """Return bytes as `512 B`, `1.4 MB`."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count:.0f} B"
