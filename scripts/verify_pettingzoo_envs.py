"""Check that the environments speak PettingZoo's API."""

import sys

from mtquant.cli.environments import verify

if __name__ == "__main__":
    sys.exit(verify(sys.argv[1:]))
