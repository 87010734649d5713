"""The command line over toy units, in a process of its own: `python -m tests.cli.drive train ...`."""

import sys

from mtquant import pipeline
from mtquant.cli import engines
from mtquant.cli.app import run


def unchanging(names):
    """Stand in for the digests of sources, so that keys stay the same while somebody edits them."""
    return dict.fromkeys(names, "code")


if __name__ == "__main__":
    pipeline.code_versions = unchanging
    engines.COMMAND = (sys.executable, "-m", "tests.cli.toy")
    engines.FLOW = (sys.executable, "-m", "tests.flows.drive")
    sys.exit(run(sys.argv[1:]))
