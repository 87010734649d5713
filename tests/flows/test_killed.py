"""`mtquant train` whose flow process is killed: nothing stays behind, and `resume` works at once."""

import signal
import subprocess
import sys

import pytest

from mtquant.store.runs import list_runs, load_run, run_holder, unit_of_run
from tests.flows.conftest import SETTINGS, UNITS, wait_for

pytestmark = pytest.mark.slow
TRAIN = (
    *("train", "--profile", "smoke", "--workers", "2", "--json"),
    *(part for setting in SETTINGS for part in ("--set", setting)),
)


def command_line(flows, *arguments):
    """Start a command of `mtquant` over toy units."""
    command = [sys.executable, "-m", "tests.cli.drive", *arguments]
    environment = flows.environment
    return subprocess.Popen(
        command, env=environment, cwd=flows.root.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def ended(process, seconds=300):
    """Return exit code and what was said on standard error."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def test_a_killed_flow_leaves_nothing_and_resume_works_at_once(flows):
    (flows.root / "slow-phase1-forex").touch()
    train = command_line(flows, *TRAIN)
    wait_for(lambda: list_runs(flows.root))
    (run,) = list_runs(flows.root)
    wait_for(lambda: load_run(flows.root, run).units)
    record = load_run(flows.root, run)
    wait_for(unit_of_run(flows.root, record, "phase1-forex").checkpoints.newest_step)
    flow = run_holder(flows.root, run).pid
    before = flows.processes()
    assert [c for c in before.values() if "flows.server" in c]
    assert [c for c in before.values() if "--unit phase1-forex" in c]
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(flow)], check=True)
    code, said = ended(train)
    assert (code, "without a word" in said, f"mtquant resume {run}" in said) == (1, True, True)
    # At once, whatever of the killed flow is still on its way out.
    (flows.root / "slow-phase1-forex").unlink()
    code, said = ended(command_line(flows, "resume", run, "--json"))
    assert code == 0, said
    assert not set(before) & set(flows.processes()), "server, publisher and trainers of the killed flow"
    assert not flows.processes()
    first, second = flows.flow_runs(run)
    assert first == (run, "Crashed", f"superseded by {run} resume 1")
    assert second[:2] == (f"{run} resume 1", "Completed")
    attempts = {name: unit_of_run(flows.root, record, name).attempts() for name in UNITS}
    assert attempts["phase1-forex"] == 2
    assert {attempts[name] for name in ("dataset-market", "phase1-equity", "phase2-meta")} == {1}
