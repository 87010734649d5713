"""Unit kinds for tests: they count, checkpoint, fail, diverge, die, hang. Started like `mtquant.execution.unit`.

Behaviour comes from `inputs["config"]`; a file `<store>/armed-<unit>` makes a mishap happen once.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from mtquant.errors import DataError, Preempted, TrainingError
from mtquant.execution.unit import main
from mtquant.store.digests import digest_arrays
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import UnitResult


def armed(handle, unit):
    """Return whether the mishap of this unit is still to happen, and disarm it."""
    path = Path(os.environ["MTQUANT_STORE"]) / f"armed-{unit.name}"
    if path.exists():
        path.unlink()
        return True
    return False


def count(spec, unit, upstream, handle):
    """Draw a random walk to `total_steps`, a journal line each step, resumable exactly."""
    config = unit.inputs["config"]
    rng = handle.streams.rng("toy", unit.subject)
    step, total = 0, sum(float(np.load(folder / "walk.npy").sum()) for folder in upstream.values())
    walk = np.zeros(unit.total_steps)
    if found := handle.load_checkpoint():
        step, snapshot = found
        walk, rng.bit_generator.state = np.array(snapshot.arrays["walk"]), snapshot.values["rng"]
    while step < unit.total_steps:
        walk[step] = rng.normal() + total
        step += 1
        time.sleep(config.get("pause", 0.0))
        if not config.get("quiet"):
            handle.log(step, {"value": walk[step - 1]})
        mishap(config, step, unit, handle)
        if handle.stop_requested() or (
            handle.checkpoint_due() and step % config.get("every", 1) == 0 and step < unit.total_steps
        ):
            handle.save_checkpoint(step, Snapshot({"walk": walk}, {"rng": rng.bit_generator.state}))
        if handle.stop_requested():
            raise Preempted(f"Stopped at step {step}; a checkpoint was written.")
    np.save(handle.outputs / "walk.npy", walk)
    return UnitResult({"last": float(walk[-1])}, {"walk": digest_arrays({"walk": walk})})


def mishap(config, step, unit, handle):
    """Do at step `at` what the configuration says."""
    kind = config.get("mishap")
    if step != config.get("at"):
        return
    errors = {
        "nan": TrainingError(f"Training diverged at step {step}."),
        "data": DataError("bars.csv, row 7: no number."),
        "bug": ZeroDivisionError("a defect"),
    }
    if kind in errors:
        raise errors[kind]
    if kind == "always-killed" or (kind == "killed" and armed(handle, unit)):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "refused" and armed(handle, unit):
        raise ConnectionError("connection reset")
    if kind == "memory" and armed(handle, unit):
        raise MemoryError("Unable to allocate 7.28 TiB")
    if kind == "liar":
        sys.stdout.write('{"exit_code": 0}\n')
        sys.stdout.flush()
        os._exit(0)
    if kind == "deaf":
        while not handle.stop_requested():
            time.sleep(0.01)
        logging.getLogger("toy").info("asked to stop")
        time.sleep(60)
    if kind == "hang":
        while not handle.stop_requested():
            time.sleep(0.01)


WORK = {"dataset": count, "phase1": count, "phase2": count, "evaluate": count}

if __name__ == "__main__":
    sys.exit(main(work=WORK))
