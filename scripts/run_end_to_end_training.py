"""Train all three phases, evaluate and export; see `mtquant train --help` for more options."""

import sys

from mtquant.cli.documented import end_to_end_training

if __name__ == "__main__":
    sys.exit(end_to_end_training(sys.argv[1:]))
