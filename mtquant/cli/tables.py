"""Tables of units and runs for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from mtquant.cli.progress import clock, compact
from mtquant.pipeline import PlannedUnit
from mtquant.store.status import RunStatus

STYLES = {
    "done": "green",
    "reuse": "green",
    "reused": "green",
    "running": "cyan",
    "continue": "yellow",
    "run": "bold",
    "stopped": "yellow",
    "dead": "red",
    "failed": "red",
    "damaged": "red",
    "waiting": "dim",
    "skipped": "dim",
    "preparing": "cyan",
}


def styled(state: str) -> str:
    """Return a state in its colour, as markup."""
    return f"[{STYLES.get(state, '')}]{state}[/]" if state in STYLES else state


def steps_to_do(unit: PlannedUnit) -> int:
    """Return how many steps are left."""
    return unit.spec.total_steps - unit.step


def plan_table(units: Sequence[PlannedUnit]) -> Table:
    """Return what is to be done with each unit, and why."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("unit", no_wrap=True)
    table.add_column("plan", no_wrap=True)
    table.add_column("steps to do", justify="right", no_wrap=True)
    table.add_column("because", overflow="fold")
    for unit in units:
        left = steps_to_do(unit)
        shown = "-" if unit.state == "reuse" or unit.spec.total_steps == 1 else f"{left:,}"
        where = f" at {unit.step:,}" if unit.state == "continue" else ""
        table.add_row(unit.spec.name, styled(unit.state) + where, shown, _escaped(unit.reason))
    return table


def plan_summary(units: Sequence[PlannedUnit]) -> str:
    """Return how many units are reused, continued and run."""
    counts = Counter(unit.state for unit in units)
    words = {"reuse": "to reuse", "continue": "to continue", "run": "to run"}
    return ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])


def plan_values(units: Sequence[PlannedUnit]) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [
        {
            "unit": unit.spec.name,
            "key": unit.spec.key,
            "plan": unit.state,
            "step": unit.step,
            "total_steps": unit.spec.total_steps,
            "reason": unit.reason,
            "changes": list(unit.changes),
        }
        for unit in units
    ]


def status_table(status: RunStatus, rates: dict[str, tuple[float | None, float | None]]) -> Table:
    """Return the state of every unit; `rates` has steps per second and seconds to go of the running ones."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("unit", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("step", "of", "checkpoint", "attempts", "steps/s", "to go"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("message", overflow="fold")
    for unit in status.units:
        rate, eta = rates.get(unit.name, (None, None))
        checkpoint = "-" if unit.checkpoint is None else f"{unit.checkpoint:,}"
        table.add_row(
            unit.name,
            styled(unit.state),
            f"{unit.step:,}",
            f"{unit.total_steps:,}",
            checkpoint,
            str(unit.attempts),
            compact(rate),
            clock(eta),
            _escaped(unit.message),
        )
    return table


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
