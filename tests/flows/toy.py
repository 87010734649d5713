"""Toy units whose evaluation says which stage deploys, so that there is something to register."""

import sys
from dataclasses import replace

from mtquant.execution.unit import main
from mtquant.store.promotions import DEPLOYED
from tests.cli import toy


def work(spec, unit, upstream, handle):
    """Do what the toy of the command line does, and name the stage."""
    result = toy.work(spec, unit, upstream, handle)
    return replace(result, metrics=result.metrics | ({DEPLOYED: 3.0} if unit.kind == "evaluate" else {}))


if __name__ == "__main__":
    sys.exit(main(work=dict.fromkeys(toy.WORK, work)))
