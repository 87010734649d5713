"""`python -m mtquant.cli` is `mtquant`."""

from mtquant.cli import main

main()
