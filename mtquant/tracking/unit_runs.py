"""The runs of units in MLflow: one child per unit, following its journal, complete when the unit is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mtquant.errors import StoreError
from mtquant.store.runs import RunRecord, unit_of_run
from mtquant.store.status import UnitStatus
from mtquant.store.units import Done, Unit
from mtquant.tracking import describe
from mtquant.tracking.curves import best_point, final_points, points, settled_lines
from mtquant.tracking.exported import exported_models
from mtquant.tracking.lineage import DATA_TAG, datasets, unit_note, upstream, upstream_tags
from mtquant.tracking.models import ModelLog
from mtquant.tracking.published import Published, done_digest, read_published, write_published
from mtquant.tracking.sending import Sender


def find_published(
    sender: Sender, uri: str, folder: Path, kind: str, tag: str, value: str
) -> tuple[Published, Run] | None:
    """Return the MLflow run of a folder: the one it names, else the one that carries the tag, else None."""
    state = read_published(folder, uri)
    if state is not None:
        try:
            return state, sender.client.get_run(state.run_id)
        except MlflowException:
            # Another database under the same address; the tag decides.
            pass
    run = sender.find(kind, tag, value)
    return (Published(run.info.experiment_id, run.info.run_id), run) if run else None


Token = tuple[str, int, int | None, str | None]
Seen = dict[str, tuple[Token, Published]]
"""Unit key to what the unit was like when this process last brought it up to date, and its run in MLflow."""


def token_of(unit: Unit, status: UnitStatus) -> Token:
    """Return what changes when a unit has something new to say: settled lines come with a checkpoint."""
    digest = done_digest(unit) if status.state == "done" else None
    return status.state, status.attempts, status.checkpoint, digest


class UnitRuns:
    """Publishes the units of one run below its parent, in order."""

    def __init__(self, root: Path, uri: str, sender: Sender, record: RunRecord, parent: Published, seen: Seen) -> None:
        self.root, self.uri, self.sender, self.record, self.parent = root, uri, sender, record, parent
        self.seen = seen
        self.states: dict[str, Published] = {}
        """Units that MLflow has, by name."""

    def publish(self, status: UnitStatus) -> int:
        """Follow one unit and return the number of points sent."""
        if not status.attempts:
            return 0
        try:
            unit = unit_of_run(self.root, self.record, status.name)
        except StoreError:
            return 0
        token = token_of(unit, status)
        before, state = self.seen.get(unit.spec.key, (None, None))
        if state is not None and before == token:
            self.states[status.name] = state
            return 0
        count = self._publish(unit, status)
        self.seen[unit.spec.key] = token, self.states[status.name]
        return count

    def _publish(self, unit: Unit, status: UnitStatus) -> int:
        digest = done_digest(unit) if status.state == "done" else None
        found = find_published(self.sender, self.uri, unit.folder, "unit", describe.UNIT_TAG, unit.spec.key)
        if found is not None:
            state, run = found
            if run.info.lifecycle_stage == "deleted" or (digest is not None and state.complete == digest):
                self.states[status.name] = state
                return 0
        else:
            state, run = self._create(unit, status)
        self.states[status.name] = state
        write_published(unit.folder, self.uri, state)
        if describe.DESCRIBED_TAG not in run.data.tags:
            self._describe(unit, state.run_id)
        count = self._follow(unit, run, status)
        done = unit.done() if digest is not None else None
        if done is not None:
            self._complete(unit, done, state)
            state = replace(state, complete=digest)
        self.sender.status(run, describe.STATUS[status.state], describe.milliseconds(done.finished) if done else None)
        write_published(unit.folder, self.uri, state)
        return count

    def _create(self, unit: Unit, status: UnitStatus) -> tuple[Published, Run]:
        tags = describe.unit_tags(self.root, self.record, unit, status.attempts)
        run = self.sender.client.create_run(
            self.parent.experiment_id,
            start_time=describe.started_at(unit),
            tags=tags | {"mlflow.parentRunId": self.parent.run_id},
            run_name=status.name,
        )
        return Published(self.parent.experiment_id, run.info.run_id), run

    def _describe(self, unit: Unit, run_id: str) -> None:
        """Send parameters and lineage, then the tag that says so: what a kill cut short is sent again."""
        self.sender.params(run_id, describe.unit_params(unit))
        read = datasets(self.root, self.record, unit)
        self.sender.datasets(run_id, read)
        made_from = upstream(self.root, self.record, unit, {name: state.run_id for name, state in self.states.items()})
        experiments = {name: state.experiment_id for name, state in self.states.items()}
        self.sender.tags(
            run_id,
            {
                **{DATA_TAG + entry.context: entry.full_digest for entry in read},
                **upstream_tags(made_from),
                describe.NOTE_TAG: unit_note(self.record, unit, made_from, experiments),
                describe.DESCRIBED_TAG: "1",
            },
        )

    def _follow(self, unit: Unit, run: Run, status: UnitStatus) -> int:
        """Send the settled journal lines that are not there yet."""
        if str(status.attempts) != run.data.tags.get(describe.ATTEMPT_TAG):
            self.sender.tags(run.info.run_id, {describe.ATTEMPT_TAG: str(status.attempts)})
        settled = settled_lines(unit, status.state == "done")
        found = describe.alarms_tag(settled)
        if any(run.data.tags.get(name) != text for name, text in found.items()):
            self.sender.tags(run.info.run_id, found)
        lines = [points([line]) for line in settled]
        there = int(run.data.tags.get(describe.LINES_TAG, 0))
        return self.sender.follow(run.info.run_id, lines, there, describe.LINES_TAG)

    def _complete(self, unit: Unit, done: Done, state: Published) -> None:
        """Send what is known at the end of a unit: final and best figures, artifacts, models."""
        best = best_point(unit.journal.read())
        final = final_points(done, describe.milliseconds(done.finished), unit.spec.total_steps)
        self.sender.points(state.run_id, [*final, *([best] if best else [])], describe.done_tags(done))
        if unit.spec.kind != "dataset":
            # The dataset is large and rebuilt from its key; its digest is in the lineage.
            self.sender.client.log_artifacts(state.run_id, str(unit.outputs))
        log = unit.folder / "unit.log"
        if log.is_file():
            self.sender.client.log_artifact(state.run_id, str(log))
        if unit.spec.kind == "export":
            ModelLog(self.sender.client).log_policies(exported_models(unit), self._alive(), state)

    def _alive(self) -> Mapping[str, Published]:
        """Return the units whose runs can still be written to."""
        found = {name: self.sender.client.get_run(state.run_id) for name, state in self.states.items()}
        return {name: self.states[name] for name, run in found.items() if run.info.lifecycle_stage == "active"}
