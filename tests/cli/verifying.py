"""Verification of toy units, in a process of its own: `python -m tests.cli.verifying --run RUN --unit NAME`."""

import sys

from mtquant.execution.verifying import main
from tests.cli.toy import WORK

if __name__ == "__main__":
    sys.exit(main(work=WORK))
