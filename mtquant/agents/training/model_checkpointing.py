"""Where training can be left and continued: the boundary between two updates, the same for every trainer."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from mtquant.agents.learning.state import Parts
from mtquant.errors import CheckpointError, Preempted
from mtquant.store.checkpoints import Checkpoint
from mtquant.store.journal import HEADLINES
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import UnitHandle


class ModelCheckpointingSystem:
    """Journals, links, checkpoints and stops a learner at its boundaries, and brings it back exactly.

    A boundary is where the samples of the last rollout were learned from and nothing of the next has
    happened: a state taken there continues bit by bit. Loading reads safetensors and JSON, never code.
    """

    def __init__(self, unit: UnitHandle) -> None:
        self.unit = unit

    def boundary(
        self,
        step: int,
        metrics: Mapping[str, float],
        capture: Callable[[], Parts],
        *,
        complete: bool = True,
        last: bool = False,
    ) -> None:
        """Record what an update brought; checkpoint when due, at the end and when asked to stop.

        `complete` tells whether all samples played were learned from; without that the state cannot be
        continued from. Raises `Preempted` after a stop and what `UnitHandle.save_checkpoint` raises.
        """
        self.unit.log(step, metrics)
        models = Snapshot(*capture())
        self.unit.link(step, models)
        stopping = self.unit.stop_requested() and not last
        if complete and (last or stopping or self.unit.checkpoint_due()):
            self.save_checkpoint(models, metrics, step)
        if stopping:
            where = "a checkpoint was written" if complete else "rollouts since the last update will be played again"
            raise Preempted(f"Stopped at step {step}; {where}.")

    def save_checkpoint(self, models: Snapshot, metrics: Mapping[str, float], step: int) -> None:
        """Write the learner's complete state `models` at `step`; the last two, the best and the final stay."""
        self.unit.save_checkpoint(step, models, metrics)

    def load_checkpoint(self, checkpoint_path: Path | None = None) -> tuple[int, Snapshot] | None:
        """Return step and state of a retained checkpoint, by default the newest that verifies; None without any.

        Raises `CheckpointError` where `checkpoint_path` names none that verifies.
        """
        if checkpoint_path is None:
            return self.unit.load_checkpoint()
        retained = self.unit.unit.checkpoints.retained()
        for found in retained:
            if found.folder.resolve() == Path(checkpoint_path).resolve():
                return found.step, found.load()
        raise CheckpointError(
            f"{checkpoint_path} is no valid checkpoint of {self.unit.unit.spec.name}; "
            f"valid ones are of the steps {[found.step for found in retained]}."
        )

    def get_best_model(self, metric: str | None = None) -> Checkpoint:
        """Return the retained checkpoint with the highest `metric`, by default the unit's headline metric.

        Retention keeps the best by the headline metric; by any other the best of those kept is returned.
        Raises `CheckpointError` where no retained checkpoint measured it.
        """
        retained = self.unit.unit.checkpoints.retained()
        for name in HEADLINES if metric is None else (metric,):
            measured = [found for found in retained if not math.isnan(found.metrics.get(name, math.nan))]
            if measured:
                return max(measured, key=lambda found: found.metrics[name])
        names = sorted({name for found in retained for name in found.metrics})
        raise CheckpointError(
            f"No retained checkpoint of {self.unit.unit.spec.name} measured `{metric or HEADLINES[0]}`; "
            f"measured were {', '.join(names) or 'nothing'}."
        )
