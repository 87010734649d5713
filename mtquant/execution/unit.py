"""Entry point of one unit's process: `python -m mtquant.execution.unit --run RUN --unit NAME`.

The last line on standard output is a JSON report for the supervisor; the exit code is the error's.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mtquant.execution.numerics import limit_threads
from mtquant.execution.stop import StopFlag

if TYPE_CHECKING:
    from mtquant.execution.attempt import Work

UNDIVIDED = ("dataset", "evaluate", "export")
"""Kinds that take seconds and have no checkpoints: a stop ends them at once."""
PROCESS_ENDED = "process-ended"
"""Event with which a unit's process tells what it used: `unit`, `processor_seconds`."""


def main(argv: Sequence[str] | None = None, work: "Mapping[str, Work] | None" = None) -> int:
    """Run one attempt and return the exit code. `work` replaces the registry of unit kinds."""
    arguments = _parse(argv)
    stop = StopFlag()
    stop.listen(to_parent=arguments.supervised)
    # Before numpy is imported, which reads the variables once.
    limit_threads()
    from mtquant.context import store_root
    from mtquant.execution.attempt import describe, run_attempt
    from mtquant.store.runs import append_event, load_run, unit_of_run

    root = store_root()
    try:
        unit = unit_of_run(root, load_run(root, arguments.run), arguments.unit)
        _log_to(unit.folder / "unit.log", unit.spec.kind, arguments.log_dir)
        if work is None:
            from mtquant.execution.work import WORK

            work = WORK
        if unit.spec.kind in UNDIVIDED:
            stop.interrupt()
        try:
            run_attempt(root, arguments.run, arguments.unit, work, stop, restart=not arguments.no_restart)
        finally:
            append_event(
                root, arguments.run, PROCESS_ENDED, unit=arguments.unit, processor_seconds=round(time.process_time(), 2)
            )
    except BaseException as error:  # noqa: BLE001 - whatever it is becomes the report and the exit code
        report = describe(error, 0)
        sys.stderr.write(f"{report.message}\n")
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
        return report.exit_code
    sys.stdout.write(json.dumps({"exit_code": 0}) + "\n")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mtquant.execution.unit", description="Run one unit of a run.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--unit", required=True, help="name of the unit, as `mtquant status` shows it")
    parser.add_argument("--log-dir", type=Path, help="folder that also gets <kind>/training.log")
    parser.add_argument("--no-restart", action="store_true", help="fail where all checkpoints are damaged")
    parser.add_argument("--supervised", action="store_true", help="stop when standard input ends")
    return parser.parse_args(argv)


def _log_to(path: Path, kind: str, log_dir: Path | None) -> None:
    """Write the log of this process to the unit's folder and, where asked for, to `<log_dir>/<kind>/training.log`."""
    from mtquant.store.files import guarded, make_folder

    paths = [path] + ([log_dir / kind / "training.log"] if log_dir else [])
    logging.captureWarnings(True)
    logger = logging.getLogger()
    logger.setLevel(logging.INFO)
    for target in paths:
        make_folder(target.parent)
        with guarded(target, "open the log"):
            handler = logging.FileHandler(target)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)


if __name__ == "__main__":
    sys.exit(main())
