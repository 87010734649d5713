"""Run all of PettingZoo's tests on the environments."""

import sys

from mtquant.cli.environments import validate

if __name__ == "__main__":
    sys.exit(validate(sys.argv[1:]))
