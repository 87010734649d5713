"""Executes a run of toy units in a process of its own: `python -m tests.execution.drive ROOT RUN`."""

import json
import sys
from pathlib import Path

from mtquant.errors import MTQuantError
from mtquant.execution.direct import run_direct
from mtquant.execution.supervisor import Supervisor
from mtquant.store.runs import load_run, unit_of_run

COMMAND = (sys.executable, "-m", "tests.execution.toy")


def main(root: Path, run_id: str) -> int:
    """Run all units of the run; write the message of an error to standard output."""
    record = load_run(root, run_id)
    units = [unit_of_run(root, record, name).spec for name in record.units]
    try:
        run_direct(Supervisor(root, run_id, command=COMMAND, backoff_seconds=0.01), units)
    except MTQuantError as error:
        sys.stdout.write(json.dumps({"message": str(error)}))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
