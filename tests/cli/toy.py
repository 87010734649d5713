"""Every kind of unit in miniature, so that whole runs take seconds: `python -m tests.cli.toy`.

Behaviour by files in the store: `fail-<unit>` diverges, `slow-<unit>` waits for a stop or for the file to go.
"""

import os
import sys
import time
from pathlib import Path

from mtquant.errors import Preempted, TrainingError
from mtquant.execution.unit import main
from mtquant.store.digests import digest_json
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import UnitResult

LINES = 5
OUTPUTS = {"evaluate": "report.html", "export": "forex.onnx", "mappo": "rewards.md", "onnx": "manifest.json"}


def work(spec, unit, upstream, handle):
    """Log `LINES` lines up to the unit's steps, checkpoint at each, leave what the kind leaves."""
    store = Path(os.environ["MTQUANT_STORE"])
    found = handle.load_checkpoint()
    done = found[1].values["lines"] if found else 0
    for line in range(done + 1, LINES + 1):
        step = line * unit.total_steps // LINES
        handle.log(step, {"reward_per_step": line / LINES})
        handle.save_checkpoint(step, Snapshot({}, {"lines": line}))
        while (store / f"slow-{unit.name}").exists() and not handle.stop_requested():
            time.sleep(0.02)
        if handle.stop_requested():
            raise Preempted(f"Stopped at step {step}; a checkpoint was written.")
        if (store / f"fail-{unit.name}").exists():
            raise TrainingError(f"Training diverged at step {step}.")
    name = OUTPUTS.get(unit.kind, "weights.json")
    (handle.outputs / name).write_text(unit.name)
    return UnitResult({"utility": 0.5}, {name: digest_json([unit.key, sorted(upstream)])})


PIPELINE = ("dataset", "phase1", "phase2", "phase3", "evaluate", "export")
TEAMS = ("search", "mappo", "onnx")
WORK = dict.fromkeys((*PIPELINE, *TEAMS), work)

if __name__ == "__main__":
    sys.exit(main(work=WORK))
