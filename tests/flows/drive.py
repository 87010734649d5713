"""The flow over toy units, in a process of its own: `python -m tests.flows.drive --run RUN`."""

import sys

from flows.pipeline import main

COMMAND = (sys.executable, "-m", "tests.cli.toy")

if __name__ == "__main__":
    sys.exit(main(command=COMMAND))
