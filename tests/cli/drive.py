"""The command line over toy units, in a process of its own: `python -m tests.cli.drive train ...`."""

import sys

from mtquant.cli import engines
from mtquant.cli.app import run

if __name__ == "__main__":
    engines.COMMAND = (sys.executable, "-m", "tests.cli.toy")
    engines.FLOW = (sys.executable, "-m", "tests.flows.drive")
    sys.exit(run(sys.argv[1:]))
