"""The flow over toy units, in a process of its own: `python -m tests.flows.drive --run RUN`."""

import sys

COMMAND = (sys.executable, "-m", "tests.flows.toy")

if __name__ == "__main__":
    from flows.local import leave, main

    leave(main(command=COMMAND))
