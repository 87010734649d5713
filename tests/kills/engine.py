"""Executes a run whose units may die, and publishes it: `python -m tests.kills.engine ROOT RUN`."""

import sys
from pathlib import Path

from mtquant.execution.direct import run_direct
from mtquant.execution.supervisor import Supervisor
from mtquant.store.runs import load_run, unit_of_run
from mtquant.tracking.background import publishing

COMMAND = (sys.executable, "-m", "tests.kills.mortal")


def main(root: Path, run_id: str) -> None:
    """Run all units of the run."""
    record = load_run(root, run_id)
    units = [unit_of_run(root, record, name).spec for name in record.units]
    supervisor = Supervisor(root, run_id, command=COMMAND, backoff_seconds=0.01, wait_for_locks=True)
    with publishing(root, run_id):
        run_direct(supervisor, units, tick_seconds=0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
