"""Toy units whose evaluation says which stage deploys, and that a file `deaf-<unit>` keeps from hearing a stop."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from mtquant.execution.unit import main
from mtquant.store.promotions import DEPLOYED
from tests.cli import toy


def work(spec, unit, upstream, handle):
    """Do what the toy of the command line does, and name the stage."""
    asked, deaf = handle.stop_requested, Path(os.environ["MTQUANT_STORE"]) / f"deaf-{unit.name}"
    handle.stop_requested = lambda: asked() and not deaf.exists()
    result = toy.work(spec, unit, upstream, handle)
    return replace(result, metrics=result.metrics | ({DEPLOYED: 3.0} if unit.kind == "evaluate" else {}))


if __name__ == "__main__":
    sys.exit(main(work=dict.fromkeys(toy.WORK, work)))
