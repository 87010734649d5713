"""The order of the nodes: each is submitted once what it needs has ended, as many at once as workers."""

from collections.abc import Sequence
from typing import cast

from prefect.client.schemas.objects import RunInput, State, TaskRunResult
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectConcurrentFuture

from flows.execution import Execution
from flows.graph import Node
from flows.tasks import run_node
from mtquant.errors import Preempted
from mtquant.execution.direct import FINE
from mtquant.execution.supervisor import Outcome

POLL_SECONDS = 0.5


class Schedule:
    """Nodes that wait, and the futures of those that were submitted."""

    def __init__(self, nodes: Sequence[Node], execution: Execution, workers: int) -> None:
        self.nodes = nodes
        self.execution = execution
        self.workers = workers
        self.interrupted: TerminationSignal | KeyboardInterrupt | None = None
        """What asked this thread to stop, if anything did."""
        self._futures: dict[str, PrefectConcurrentFuture[State]] = {}

    def run(self) -> list[Outcome]:
        """Return how every node ended, in order."""
        while True:
            try:
                while not self._turn():
                    pass
                for future in self._futures.values():
                    future.wait()
                return [self.execution.outcomes[node.name] for node in self.nodes]
            except (TerminationSignal, KeyboardInterrupt) as signal:
                # Raised wherever this thread is, the first by Prefect's handler. `forwarding_stops` tells the units,
                # which end by themselves, each with a checkpoint.
                self.interrupted = signal
            except BaseException:
                # Leaving the flow waits for its tasks; the units must not keep them.
                self.execution.supervisor.stop()
                raise

    def _turn(self) -> bool:
        """Start what can start, wait for news, and return whether all nodes have ended."""
        outcomes, told = self.execution.outcomes, self.execution.told
        told.clear()
        # A task tells its outcome before it ends, so one that is over by now has nothing more to tell.
        over = [name for name, future in self._futures.items() if future.wrapped_future.done()]
        for name in over:
            if name not in outcomes:
                state = self._futures[name].state
                outcomes[name] = Outcome(name, "failed", 1, f"Prefect ended its task as {state.name}: {state.message}")
        for node in self.nodes:
            if node.name not in self._futures and node.name not in outcomes:
                self._consider(node)
        if len(outcomes) == len(self.nodes):
            return True
        told.wait(POLL_SECONDS)
        return False

    def _consider(self, node: Node) -> None:
        outcomes = self.execution.outcomes
        if self.execution.supervisor.stopping:
            outcomes[node.name] = Outcome(node.name, "stopped", Preempted.exit_code, "not begun")
        elif all(name in outcomes for name in node.needs):
            running = sum(name not in outcomes for name in self._futures)
            if running < self.workers:
                self._futures[node.name] = self._submitted(node)

    def _submitted(self, node: Node) -> PrefectConcurrentFuture[State]:
        """Hand a node to the task runner, with the edges of the picture.

        Not by `wait_for`: behind a cancelled or crashed task Prefect starts nothing, and here a node says itself why
        it is skipped.
        """
        outcomes = self.execution.outcomes
        broken = [name for name in node.needs if outcomes[name].state not in FINE]
        # What was only skipped itself is no reason where the reason is among the others.
        needs = [name for name in broken if outcomes[name].state != "skipped"] or broken
        parameters = {"name": node.name, "kind": node.kind, "needs": needs}
        edges: set[RunInput] = {
            TaskRunResult(id=self._futures[name].task_run_id) for name in node.drawn if name in self._futures
        }
        context = FlowRunContext.get()
        assert context is not None
        # No tags: for every tag Prefect asks its server for a concurrency slot, which a crash leaves taken.
        task = run_node.with_options(name=node.kind)
        future = context.task_runner.submit(task, parameters, dependencies={"needs": edges})
        return cast("PrefectConcurrentFuture[State]", future)
