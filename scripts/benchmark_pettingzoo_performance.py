"""Measure how fast the environments are."""

import sys

from mtquant.cli.environments import benchmark

if __name__ == "__main__":
    sys.exit(benchmark(sys.argv[1:]))
