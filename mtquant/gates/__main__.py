"""`python -m mtquant.gates`: train against known optima and say whether each claim holds."""

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from mtquant.context import store_root
from mtquant.errors import GateError, MTQuantError, UsageError
from mtquant.gates.definitions import AnyTraining, full_gates, small_gates
from mtquant.gates.execution import ExecutionTraining, finish_execution
from mtquant.gates.runner import Finished, run_gates, table, write_results
from mtquant.gates.teams import TeamTraining, finish_team
from mtquant.gates.trainings import train
from mtquant.registry import did_you_mean

RESULTS = Path("benchmarks/results/gates.json")


def gates(
    full: Annotated[
        bool, typer.Option("--full/--small", help="All gates at full budgets, or a minute of them.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="File for the results.")] = RESULTS,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this gate; may be repeated.")] = None,
) -> None:
    """Train against known optima, write the results and end with 8 where a gate is not met."""
    chosen = full_gates() if full else small_gates()
    known = {gate.name: gate for gate in chosen}
    for name in only or ():
        if name not in known:
            raise UsageError(f"There is no gate `{name}`.{did_you_mean(name, known)}")
    if only:
        chosen = tuple(known[name] for name in only)
    results = run_gates(chosen, _finish, _say)
    write_results(results, out)
    _say(f"\n{table(results)}\n\nwritten to {out}")
    failed = [result.gate.name for result in results if not result.passed]
    if failed:
        raise GateError(f"{len(failed)} of {len(results)} gates were not met: {', '.join(failed)}.")


def main() -> None:
    """Run the command; errors become one message and an exit code."""
    # Networks this small are faster on one thread, and the trainings run in processes of their own.
    torch.set_num_threads(1)
    try:
        typer.run(gates)
    except MTQuantError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _finish(training: AnyTraining, seed: int) -> Finished:
    if isinstance(training, ExecutionTraining):
        return finish_execution(store_root(), training, seed)
    if isinstance(training, TeamTraining):
        return finish_team(store_root(), training, seed)
    return train(store_root(), training, seed)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
