"""`python -m benchmarks`: measure, print tables, write `benchmarks/results/bench.json`."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.breakdown import measure_breakdown
from benchmarks.curriculum import measure_curriculum
from benchmarks.levers import measure_levers
from benchmarks.optimum import measure_optimum
from benchmarks.overhead import measure_overhead
from benchmarks.pipeline_pass import measure_pass
from benchmarks.records import Section, machine_words, write_figures
from benchmarks.simulator import measure_simulator
from benchmarks.teams import measure_teams
from benchmarks.training import measure_training
from mtquant.errors import MTQuantError, UsageError
from mtquant.registry import did_you_mean

RESULTS = Path("benchmarks/results/bench.json")
BENCHMARKS: dict[str, Callable[[], Section]] = {
    "simulator": measure_simulator,
    "training": measure_training,
    "optimum": measure_optimum,
    "breakdown": measure_breakdown,
    "levers": measure_levers,
    "processes": measure_pass,
    "overhead": measure_overhead,
    "teams": measure_teams,
    "curriculum": measure_curriculum,
    "curriculum-embedded": partial(measure_curriculum, ("embedded",)),
}
LONG = ("curriculum", "curriculum-embedded")
"""Not measured unless named."""


def bench(
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this benchmark; may be repeated.")] = None,
    out: Annotated[Path, typer.Option("--out", help="File for the figures.")] = RESULTS,
) -> None:
    """Measure speed and memory on one core; about ten minutes on an idle machine."""
    for name in only or ():
        if name not in BENCHMARKS:
            raise UsageError(f"There is no benchmark `{name}`.{did_you_mean(name, BENCHMARKS)}")
    torch.set_num_threads(1)
    print(machine_words(), flush=True)
    sections = []
    for name in only or [name for name in BENCHMARKS if name not in LONG]:
        started = time.perf_counter()
        sections.append(BENCHMARKS[name]())
        print(f"\n{sections[-1].text()}\n({time.perf_counter() - started:.0f} s)", flush=True)
    write_figures(sections, out)
    print(f"\nwritten to {out}", flush=True)


def main() -> None:
    """Run the command; errors become one message and an exit code."""
    try:
        typer.run(bench)
    except MTQuantError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
