"""Write `.env` from `.env.example` with a fresh secret for every empty value: `python docker/fill_env.py`."""

import argparse
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATED = "<generated>"


def filled(example: str) -> str:
    """Return the example with each `<generated>` replaced by 43 random characters that are safe in any address."""
    parts = example.split(GENERATED)
    return "".join(part + secrets.token_urlsafe(32) for part in parts[:-1]) + parts[-1]


def main() -> int:
    """Return 0 once the file is there, readable by its owner alone; an existing one is never touched."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / ".env", help="file to write")
    target = parser.parse_args().to
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{target} is there already. Its secrets are those of the volumes; keep it.\n")
        return 1
    with os.fdopen(descriptor, "w") as file:
        file.write(filled((ROOT / ".env.example").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
