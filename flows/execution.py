"""What the parts of one flow run share. Nothing here imports Prefect."""

import threading
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mtquant.errors import MTQuantError
from mtquant.execution.supervisor import COMMAND, Outcome, Supervisor

if TYPE_CHECKING:
    from flows.progress import ProgressBars


@dataclass
class Execution:
    """One run being executed; it stays in the process, Prefect carries only names."""

    supervisor: Supervisor
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """How each node ended that has ended."""
    told: threading.Event = field(default_factory=threading.Event)
    """Set when an outcome has come in."""
    progress: "ProgressBars" = field(init=False)
    """Set when the flow begins."""
    entered: bool = False
    """Whether the flow itself began: before that, an error is Prefect's."""
    ended: bool = False
    """Whether the flow has brought all nodes to their end: after that, an error is Prefect's again."""
    error: MTQuantError | None = None
    """What the outcomes mean, where not all units are complete."""

    def tell(self, outcome: Outcome) -> None:
        """Hand in how a node ended."""
        self.outcomes[outcome.name] = outcome
        self.told.set()


EXECUTION: ContextVar[Execution | None] = ContextVar("mtquant-execution", default=None)
"""Set by the command line that started the flow, else by the flow; tasks run in copies of its context."""


def execution_of(
    root: Path, run: str, command: Sequence[str] = COMMAND, log_dir: Path | None = None, *, restart: bool = True
) -> Execution:
    """Return a new execution of a prepared run."""
    # Two runs may share units; the one that comes second to a unit waits and reuses it.
    return Execution(Supervisor(root, run, command=command, log_dir=log_dir, wait_for_locks=True, restart=restart))


def current() -> Execution:
    """Return the execution of the flow run that this code belongs to."""
    found = EXECUTION.get()
    if found is None:
        raise RuntimeError("no flow runs in this context")
    return found
