"""A unit's process that dies at a chosen place: started like `mtquant.execution.unit`, guided by `<store>/death.json`.

The file names the unit, the place, the how-manieth time, and who is killed: the unit's process (`child`), the
engine that started it (`parent`) or both. It is removed before the blow, so every death happens once.
"""

import json
import os
import signal
import sys
from pathlib import Path

DEATH = "death.json"


def read_death(unit):
    """Return the death that waits for `unit`, or None."""
    path = Path(os.environ["MTQUANT_STORE"]) / DEATH
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found if found["unit"] == unit else None


def strike(victims):
    """Kill without a chance to clean up."""
    (Path(os.environ["MTQUANT_STORE"]) / DEATH).unlink()
    if victims in ("parent", "both"):
        os.kill(os.getppid(), signal.SIGKILL)
    if victims in ("child", "both"):
        os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name, death):
    """Strike before the n-th call of `owner.name`."""
    real, calls = getattr(owner, name), 0

    def call(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == death["count"]:
            strike(death["victims"])
        return real(*arguments, **named)

    setattr(owner, name, call)


def torn_line(death):
    """Leave half a journal line behind."""
    from mtquant.store.journal import Journal

    real, calls = Journal.append, 0

    def append(journal, step, metrics, wall=None):
        nonlocal calls
        calls += 1
        if calls == death["count"]:
            with journal.path.open("ab") as file:
                file.write(b'{"step": 1, "wa')
            strike("both" if death["victims"] == "parent" else death["victims"])
        return real(journal, step, metrics, wall)

    Journal.append = append


def after_done(death):
    """Strike when the marker is written and nothing of it is published."""
    from mtquant.store.units import Unit

    real = Unit.finish

    def finish(unit, *arguments, **named):
        real(unit, *arguments, **named)
        strike(death["victims"])

    Unit.finish = finish


def prepare(death):
    """Arm the place of death; imports only what lies there."""
    place = death["place"]
    if place == "rollout":
        from mtquant.envs.engine import GameEngine

        before(GameEngine, "advance", death)
    if place == "update":
        import torch

        before(torch.Tensor, "backward", death)
    if place == "journal":
        torn_line(death)
    if place == "files and manifest":
        from mtquant.store import checkpoints

        before(checkpoints, "write_durable", death)
    if place in ("manifest and rename", "rename and retirement"):
        from mtquant.store import checkpoints

        # Every checkpoint syncs its own folder before it is renamed, and the folder around it after that.
        late = place == "rename and retirement"
        before(checkpoints, "sync_folder", death | {"count": 2 * death["count"] - (not late)})
    if place == "outputs":
        from mtquant.agents.bundle import PolicyBundle

        before(PolicyBundle, "save", death | {"count": 1})
    if place == "marker":
        from mtquant.store.units import Unit

        before(Unit, "finish", death | {"count": 1})
    if place == "after the marker":
        after_done(death)


def main():
    """Run one attempt, or die on the way."""
    unit = sys.argv[sys.argv.index("--unit") + 1]
    death = read_death(unit)
    if death is not None:
        if death["place"] == "first import":
            strike(death["victims"])
        prepare(death)
    from mtquant.execution.unit import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
