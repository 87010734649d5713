"""The command line and the flow's process: what it says, how it ends, who hears a stop."""

import sys
from dataclasses import dataclass, field

import pytest

from mtquant.cli.engines import Engine, Launch, Watcher, error_of, execute
from mtquant.errors import DataError, MTQuantError, Preempted, TrainingError
from mtquant.execution.preparation import PreparedRun
from mtquant.store.runs import append_event, create_run

SCRIPT = """
import os, sys
from pathlib import Path
from mtquant.store.runs import append_event
run = sys.argv[sys.argv.index("--run") + 1]
root = Path(os.environ["MTQUANT_STORE"])
{body}
"""


@dataclass
class Looked:
    """A watcher that remembers."""

    ticks: int = 0
    said: list[str] = field(default_factory=list)

    def watcher(self):
        """Return it as the engine wants it."""
        return Watcher(self.tick, self.said.append)

    def tick(self):
        """Count."""
        self.ticks += 1


def run_flow(root, body, record=None):
    record = record or create_run(root, ["train"], {}, "prefect")
    flow = (sys.executable, "-c", SCRIPT.format(body=body))
    looked = Looked()
    prepared = PreparedRun(record, None, (), ())
    execute(root, prepared, Launch(Engine.PREFECT, 2, flow_command=flow), looked.watcher())
    return looked


def test_a_flow_that_ends_well_is_followed(tmp_path):
    looked = run_flow(tmp_path, "append_event(root, run, 'flow-ended', exit_code=0, message='')")
    assert looked.ticks >= 2


@pytest.mark.parametrize(("code", "kind"), [(7, TrainingError), (75, Preempted), (4, DataError), (1, MTQuantError)])
def test_the_flow_s_error_is_the_command_s(tmp_path, code, kind):
    with pytest.raises(kind, match="the reason") as raised:
        run_flow(tmp_path, f"append_event(root, run, 'flow-ended', exit_code={code}, message='the reason')")
    assert type(raised.value) is kind
    assert error_of(code, "x").exit_code == code


@pytest.mark.parametrize("body", ["os.kill(os.getpid(), 9)", "sys.exit(0)", "raise ImportError('fastapi')"])
def test_a_flow_without_a_word_is_no_success(tmp_path, body):
    record = create_run(tmp_path, ["train"], {}, "prefect")
    append_event(tmp_path, record.run_id, "flow-ended", exit_code=0, message="an earlier one")
    events = tmp_path / "runs" / record.run_id / "events.jsonl"
    events.write_text(events.read_text().replace('"wall": 1', '"wall": 0'))
    with pytest.raises(MTQuantError, match="--engine direct"):
        run_flow(tmp_path, body, record)


def test_a_stop_before_the_flow_could_report_is_a_stop(tmp_path):
    with pytest.raises(Preempted, match="mtquant resume"):
        run_flow(tmp_path, "import time; os.kill(os.getppid(), 15); time.sleep(60)")


def test_the_flow_s_own_output_is_kept(tmp_path):
    record = create_run(tmp_path, ["train"], {}, "prefect")
    run_flow(
        tmp_path, "print('a wall of text'); append_event(root, run, 'flow-ended', exit_code=0, message='')", record
    )
    assert (tmp_path / "runs" / record.run_id / "flow.log").read_text() == "a wall of text\n"
