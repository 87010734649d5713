"""The flow in a process of its own, for a run that is prepared: `python -m flows.local --run RUN`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from httpx import HTTPError

from flows.embedded import ALONE, API, answers, choose_server
from flows.execution import EXECUTION, Execution, execution_of
from flows.signals import raising_early_stops, stopping_without_parent
from mtquant.context import store_root
from mtquant.errors import MTQuantError, Preempted
from mtquant.execution.attempt import is_team_run
from mtquant.execution.supervisor import COMMAND
from mtquant.store.runs import append_event, load_run

LOGGER = logging.getLogger("mtquant.flow")


def main(argv: Sequence[str] | None = None, command: Sequence[str] = COMMAND) -> int:
    """Run the flow once, say in the run's events how it ended, and return the exit code."""
    arguments = _parse(argv)
    root, run = store_root(), arguments.run
    execution = execution_of(root, run, command, arguments.log_dir, restart=not arguments.no_restart)
    if arguments.supervised:
        stopping_without_parent(execution.supervisor)
    try:
        with raising_early_stops():
            _run_flow(run, arguments.workers, execution)
    except BaseException as error:
        code, message = _explained(error, execution, run)
        LOGGER.error("%s", message, exc_info=not isinstance(error, MTQuantError))
    else:
        code, message = 0, ""
    append_event(root, run, "flow-ended", exit_code=code, message=message)
    return code


def _run_flow(run: str, workers: int, execution: Execution) -> None:
    server = choose_server()
    # While the server starts: importing Prefect takes seconds, too.
    from flows.marl import marl
    from flows.pipeline import pipeline

    flow = marl if is_team_run(load_run(execution.supervisor.root, run)) else pipeline

    if server is not None:
        server.await_ready()
    EXECUTION.set(execution)
    try:
        state = flow(workers=workers, resume=run, return_state=True)
    except HTTPError as error:
        if not execution.ended:
            raise
        LOGGER.warning("Prefect's server does not know how run %s ended: %s: %s", run, type(error).__name__, error)
    else:
        if execution.error is None and not state.is_completed():
            raise MTQuantError(f"The flow of run {run} ended as {state.name}: {state.message}")
    if execution.error is not None:
        raise execution.error


def leave(code: int) -> NoReturn:
    """End the process; without Prefect's functions at exit where its server is gone, for they try for minutes."""
    if answers(os.environ.get(API, ""), seconds=3.0):
        sys.exit(code)
    logging.shutdown()
    os._exit(code)


def _explained(error: BaseException, execution: Execution, run: str) -> tuple[int, str]:
    """Return exit code and message for whatever ended the flow."""
    if isinstance(error, MTQuantError) and (error is execution.error or not execution.supervisor.stopping):
        return error.exit_code, str(error)
    if execution.supervisor.stopping:
        # Prefect's own reaction to the signal came first; the units have written their checkpoints.
        message = f"The run {run} was stopped; its state is kept. Continue exactly with: mtquant resume {run}"
        return Preempted.exit_code, message
    text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    if not execution.entered:
        return 1, f"Prefect could not start ({text}). {ALONE}"
    return 1, f"The flow of run {run} ended by {text}. `mtquant resume {run}` continues."


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.local", description="Execute a prepared run with Prefect.")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--workers", type=int, default=0, help="units side by side; 0: as many as fit")
    parser.add_argument("--log-dir", type=Path, help="folder for a training.log per phase")
    parser.add_argument("--no-restart", action="store_true", help="fail a unit whose checkpoints are all damaged")
    parser.add_argument("--supervised", action="store_true", help="stop when standard input ends")
    return parser.parse_args(argv)


if __name__ == "__main__":
    leave(main())
