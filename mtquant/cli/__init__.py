"""The `mtquant` command. Importing it is light; what a command needs is imported inside the command."""

import sys


def main() -> None:
    """Run the command line and end the process with the documented exit code."""
    from mtquant.cli.app import run

    sys.exit(run(sys.argv[1:]))
