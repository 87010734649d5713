"""The flow over toy units, in a process of its own: `python -m tests.flows.drive --run RUN`."""

import sys

COMMAND = (sys.executable, "-m", "tests.cli.toy")

if __name__ == "__main__":
    from flows.pipeline import main

    sys.exit(main(command=COMMAND))
