"""Train phase 2 and what it needs; see `mtquant train --help` for more options."""

import sys

from mtquant.cli.documented import phase_training

if __name__ == "__main__":
    sys.exit(phase_training(2, sys.argv[1:]))
