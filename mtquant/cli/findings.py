"""What `doctor` looked at, and how it was."""

from dataclasses import dataclass

OK, WARNING, BAD = "ok", "warning", "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: str
    """`ok`, `warning` (works, but worth knowing) or `bad` (something will fail)."""
    text: str
