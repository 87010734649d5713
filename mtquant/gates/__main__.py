"""`python -m mtquant.gates`: train against known optima and say whether each claim holds."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from mtquant.context import store_root
from mtquant.errors import GateError, MTQuantError, UsageError
from mtquant.gates.ablation import SEEDS, VARIANTS, ablation_table, run_ablation, training_of
from mtquant.gates.broken import BREAKS, broken_gate, broken_table, broken_values, run_broken
from mtquant.gates.definitions import full_gates, small_gates
from mtquant.gates.gate import Gate
from mtquant.gates.runner import finish, run_gates, table, write_results
from mtquant.registry import did_you_mean
from mtquant.store.files import make_folder, write_atomic

RESULTS = Path("benchmarks/results/gates.json")
ABLATION = "ablation"
JOBS = max(1, min(8, os.cpu_count() or 1))


def gates(
    full: Annotated[
        bool, typer.Option("--full/--small", help="All gates with several seeds and the ablation, or a part of them.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="File for the results.")] = RESULTS,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this gate, or `ablation`; may be repeated.")
    ] = None,
    broken: Annotated[
        bool, typer.Option("--broken", help="Instead, break what gates guard and see that each notices.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be trained, and train nothing.")] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="No more than the first so many seeds of each gate.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Trainings side by side.")] = JOBS,
) -> None:
    """Train against known optima, write the results and end with 8 where a gate is not met."""
    ablation = full and not broken and (not only or ABLATION in only)
    if plan:
        _say(_plan(list(map(broken_gate, BREAKS)) if broken else _chosen(full, only, seeds), ablation))
        return
    if broken:
        _break(out.with_name("broken.json"), jobs)
        return
    chosen = _chosen(full, only, seeds)
    failed = _judge(chosen, out, jobs) if chosen else []
    if ablation:
        failed += _compare(out.with_name("ablation.json"), jobs)
    if failed:
        raise GateError(f"Not met: {', '.join(failed)}.")


def _chosen(full: bool, only: Sequence[str] | None, seeds: int | None) -> list[Gate]:
    offered = full_gates() if full else small_gates()
    known = [gate.name for gate in offered] + [ABLATION] * full
    for name in only or ():
        if name not in known:
            raise UsageError(f"There is no gate `{name}`.{did_you_mean(name, known)}")
    return [replace(gate, seeds=gate.seeds[:seeds]) for gate in offered if not only or gate.name in only]


def _plan(chosen: Sequence[Gate], ablation: bool) -> str:
    lines = [f"{g.name}: {g.claim}; {g.rule} {g.threshold:g}; seeds {list(g.seeds)}; {g.training}" for g in chosen]
    lines += [f"{ABLATION}: {name}; seeds {list(SEEDS)}; {training_of(name)}" for name in VARIANTS] * ablation
    count = len({(g.training, s) for g in chosen for s in g.seeds}) + len(VARIANTS) * len(SEEDS) * ablation
    return "\n".join([*lines, f"{count} trainings"])


def _judge(chosen: Sequence[Gate], out: Path, jobs: int) -> list[str]:
    results = run_gates(chosen, partial(finish, store_root()), _say, jobs)
    write_results(results, out)
    _say(f"\n{table(results)}\n\nwritten to {out}")
    return [result.gate.name for result in results if not result.passed]


def _break(out: Path, jobs: int) -> None:
    found = run_broken(partial(finish, store_root()), _say, jobs)
    _write(out, broken_values(found))
    _say(f"\n{broken_table(found)}\n\nwritten to {out}")
    missed = [entry.gate for entry, result in found if result.passed]
    if missed:
        raise GateError(f"Broken, and not noticed: {', '.join(missed)}.")


def _compare(out: Path, jobs: int) -> list[str]:
    found = run_ablation(partial(finish, store_root()), _say, jobs)
    _write(out, found.values())
    _say(f"\n{ablation_table(found)}\n\nwritten to {out}")
    return [] if found.passed else [ABLATION]


def _write(out: Path, values: object) -> None:
    make_folder(out.parent)
    write_atomic(out, (json.dumps(values, indent=1, allow_nan=False) + "\n").encode())


def main() -> None:
    """Run the command; errors become one message and an exit code."""
    # Networks this small are faster on one thread, and the trainings run in processes of their own.
    torch.set_num_threads(1)
    try:
        typer.run(gates)
    except MTQuantError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
