"""The flow over toy units, as a worker loads it: `tests.flows.deployed.pipeline`."""

from mtquant import pipeline as graph
from mtquant.execution import supervisor
from tests.cli.drive import unchanging
from tests.flows.drive import COMMAND

# Before the flow is imported, which takes the command from here.
supervisor.COMMAND = COMMAND
# Somebody may edit the sources between two runs that are to be the same.
graph.code_versions = unchanging

from flows.pipeline import pipeline  # noqa: E402

__all__ = ["pipeline"]
