"""The live view of a run: bars on a terminal, plain lines without one, JSON for programs."""

import json
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mtquant.cli.progress import Progress, UnitProgress, clock, compact
from mtquant.cli.tables import STYLES, plan_summary, plan_table, plan_values
from mtquant.pipeline import PlannedUnit

PLAIN_SECONDS = 15.0
PLAIN_WIDTH = 140
LOOK_SECONDS = 0.5
MARKS = {"done": "+", "running": ">", "waiting": ".", "failed": "x", "damaged": "x", "dead": "x", "stopped": "="}
_QUIET = ("waiting",)


class View(Protocol):
    """Where a run is shown."""

    def preparing(self) -> AbstractContextManager[object]:
        """Show that something is on its way while inside, where there is nothing to show yet."""

    def plan(self, units: Sequence[PlannedUnit], facts: dict[str, str]) -> None:
        """Show what is to be done, and facts about where (store, tracking, threads)."""

    def begin(self, progress: Progress) -> None:
        """Start following a run."""

    def tick(self) -> None:
        """Look at the store if it is time to; cheap otherwise."""

    def say(self, text: str) -> None:
        """Show one line."""

    def finish(self) -> None:
        """Show the last state and stop following."""

    def end(self, facts: dict[str, str]) -> None:
        """Show where the results are."""


class _Follower(ABC):
    """What the views share: look now and then, and notice changes of state."""

    def __init__(self, clock_now: Callable[[], float] = time.monotonic) -> None:
        self._now = clock_now
        self._began = clock_now()
        self._progress: Progress | None = None
        self._looked = -1e9
        self._states: dict[str, str] = {}

    def preparing(self) -> AbstractContextManager[object]:
        """Show nothing."""
        return nullcontext()

    def begin(self, progress: Progress) -> None:
        """Start following a run."""
        self._progress, self._began = progress, self._now()
        self._states = {unit.name: unit.state for unit in progress.look()[0].units}
        self.tick()

    def tick(self) -> None:
        """Look at the store if it is time to."""
        if self._progress is not None and self._now() - self._looked >= LOOK_SECONDS:
            self._looked = self._now()
            self.show(self._progress.look()[1])

    def finish(self) -> None:
        """Show the last state and stop following."""
        if self._progress is not None:
            self._looked = self._now()
            self.show(self._progress.look()[1])
            self._progress = None

    def _changed(self, units: Sequence[UnitProgress]) -> list[UnitProgress]:
        changed = [unit for unit in units if self._states.get(unit.status.name) != unit.status.state]
        self._states |= {unit.status.name: unit.status.state for unit in changed}
        return [unit for unit in changed if unit.status.state not in _QUIET]

    @abstractmethod
    def show(self, units: Sequence[UnitProgress]) -> None:
        """Show the units as they are now."""


class PlainView(_Follower):
    """One line per running unit every 15 s, and one at every change of state."""

    def __init__(self, console: Console, clock_now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock_now)
        self.console = console
        self._said: dict[str, float] = {}

    def plan(self, units: Sequence[PlannedUnit], facts: dict[str, str]) -> None:
        """Show what is to be done, and facts about where."""
        self.console.print(plan_table(units))
        self.say(f"plan: {plan_summary(units)}")
        for name, value in facts.items():
            self.say(f"{name}: {value}")

    def say(self, text: str) -> None:
        """Show one line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self, facts: dict[str, str]) -> None:
        """Show where the results are."""
        if self._states:
            self.say(f"time: {clock(self._now() - self._began)}")
        for name, value in facts.items():
            self.say(f"{name}: {value}")

    def show(self, units: Sequence[UnitProgress]) -> None:
        """Show the units as they are now."""
        changed = {unit.status.name for unit in self._changed(units)}
        for unit in units:
            name, running = unit.status.name, unit.status.state == "running"
            due = running and self._now() - self._said.get(name, -1e9) >= PLAIN_SECONDS
            if name in changed or (due and name in self._said):
                self.say(plain_line(unit))
            if name in changed or due:
                self._said[name] = self._now()


class QuietView(PlainView):
    """Only where the results are; errors reach standard error by themselves."""

    def plan(self, units: Sequence[PlannedUnit], facts: dict[str, str]) -> None:
        """Show nothing."""

    def show(self, units: Sequence[UnitProgress]) -> None:
        """Show nothing."""


class LiveView(PlainView):
    """One bar per unit that has begun, redrawn twice a second; what ended stays above as a line."""

    def __init__(self, console: Console, clock_now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock_now)
        self._live: Live | None = None

    def preparing(self) -> AbstractContextManager[object]:
        """Show that bars are read and compared with the store: nothing else happens on the screen for seconds."""
        return self.console.status("reading settings and bars, comparing with the store")

    def begin(self, progress: Progress) -> None:
        """Start following a run."""
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        super().begin(progress)

    def finish(self) -> None:
        """Show the last state and stop following."""
        super().finish()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, units: Sequence[UnitProgress]) -> None:
        """Show the units as they are now."""
        for unit in self._changed(units):
            if unit.status.state != "running":
                self.console.print(plain_line(unit), style=STYLES.get(unit.status.state), markup=False, highlight=False)
        if self._live is not None:
            self._live.update(bars(units, self.console.width, self._now() - self._began), refresh=True)


class JsonView(_Follower):
    """One JSON object per line: `plan`, `progress` (every 15 s and at changes), `message`, `end`."""

    def __init__(self, clock_now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock_now)
        self._said = -1e9

    def plan(self, units: Sequence[PlannedUnit], facts: dict[str, str]) -> None:
        """Show what is to be done, and facts about where."""
        self._write("plan", units=plan_values(units), **facts)

    def say(self, text: str) -> None:
        """Show one line."""
        self._write("message", text=text)

    def end(self, facts: dict[str, str]) -> None:
        """Show where the results are."""
        self._write("end", **facts)

    def show(self, units: Sequence[UnitProgress]) -> None:
        """Show the units as they are now."""
        changed = self._changed(units)
        due = self._now() - self._said >= PLAIN_SECONDS
        shown = [unit for unit in units if unit in changed or (due and unit.status.state == "running")]
        for unit in shown:
            status = unit.status
            self._write(
                "progress",
                unit=status.name,
                state=status.state,
                step=status.step,
                total_steps=status.total_steps,
                steps_per_second=unit.rate,
                seconds_to_go=unit.eta,
                message=status.message,
                reward=unit.reward if unit.reward is not None and math.isfinite(unit.reward) else None,
            )
        if due:
            self._said = self._now()

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "wall": round(time.time(), 3), **values}, allow_nan=False, default=str)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def plain_line(unit: UnitProgress) -> str:
    """Return a unit's progress as one line."""
    status = unit.status
    parts = [f"{MARKS.get(status.state, ' ')} {status.name} {status.state}"]
    if status.state == "running":
        if _starting(unit):
            parts = [f"> {status.name} starting"]
        elif status.total_steps > 1:
            share = 100 * status.step / status.total_steps
            parts = [f"> {status.name} {status.step:,} of {status.total_steps:,} steps ({share:.0f} %)"]
        if unit.rate:
            parts.append(f"{compact(unit.rate)} steps/s, {clock(unit.eta)} to go")
    if unit.reward is not None and status.total_steps > 1:
        parts.append(f"reward {compact(unit.reward)}")
    if status.message and status.state not in ("running", "done"):
        parts.append(status.message)
    return ", ".join(parts)


def _starting(unit: UnitProgress) -> bool:
    """Return whether a unit that counts steps has measured nothing yet: its process imports and reads."""
    return unit.status.total_steps > 1 and unit.status.step == 0 and unit.reward is None


def bars(units: Sequence[UnitProgress], width: int, seconds: float) -> Table:
    """Return one row per unit that is not over, and how many are."""
    table = Table.grid(padding=(0, 1))
    # The same width however many are left.
    table.add_column(min_width=max((len(unit.status.name) for unit in units), default=0) + 2, no_wrap=True)
    for unit in units:
        if unit.status.state in ("running", "waiting"):
            style = STYLES.get(unit.status.state, "")
            name = Text(f"{MARKS.get(unit.status.state, ' ')} {unit.status.name}", style=style)
            table.add_row(name, *(_running_cells(unit, width) if unit.status.state == "running" else ()))
    done = sum(unit.status.state == "done" for unit in units)
    table.add_row(Text(f"  {done} of {len(units)} done", style="dim"), Text(clock(seconds), style="dim"))
    return table


def _running_cells(unit: UnitProgress, width: int) -> list[Any]:
    status = unit.status
    counted, starting = status.total_steps > 1, _starting(unit)
    bar = ProgressBar(
        total=status.total_steps if counted and not starting else None,
        completed=status.step,
        width=max(8, min(30, width - 80)),
        pulse=not counted or starting,
    )
    steps = f"{status.step:,}/{status.total_steps:,}" if counted else ""
    return [
        bar,
        Text("starting" if starting else steps),
        Text(f"{compact(unit.rate)}/s" if unit.rate else ""),
        Text(f"{clock(unit.eta)} to go" if unit.eta is not None else ""),
        Text(f"reward {compact(unit.reward)}" if unit.reward is not None else ""),
        Text(f"saved {clock(unit.checkpoint_age)} ago" if unit.checkpoint_age is not None else ""),
    ]


def make_view(as_json: bool, *, quiet: bool = False) -> View:
    """Return the view that fits: JSON on request, results only when quiet, bars on a terminal, else plain lines."""
    if as_json:
        return JsonView()
    console = Console()
    if quiet:
        return QuietView(console)
    # Without a terminal rich assumes 80 columns, which would fold the reasons in a log.
    return LiveView(console) if console.is_terminal else PlainView(Console(width=PLAIN_WIDTH))
