"""Writes runs and units of the store into MLflow: the only module that imports it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mtquant.errors import LockedError, StoreError
from mtquant.store.locks import locked
from mtquant.store.runs import RunRecord, load_run, run_folder, unit_of_run
from mtquant.store.status import RunStatus, UnitStatus, run_status
from mtquant.store.units import Unit
from mtquant.tracking import describe
from mtquant.tracking.curves import Point, metric_key, points, settled_lines
from mtquant.tracking.location import LOCK, artifact_location, configure_environment, tracking_uri
from mtquant.tracking.published import Published, done_digest, read_published, write_published

configure_environment()

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

METRICS_PER_BATCH, ENTRIES_PER_BATCH = 1000, 100
LOCK_SECONDS = 120.0
RUNNING = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class Pass:
    """What one look at a run brought into MLflow."""

    experiment_id: str
    parent_id: str
    points: int
    """Values sent in this pass."""


class Publisher:
    """Brings what the store holds of a run into MLflow; doing it again changes nothing.

    A unit's journal is followed by number of lines, kept as a tag of its MLflow run in the same request
    as the points, so that neither a kill nor a resumed unit doubles a point or leaves a gap.
    """

    def __init__(self, root: Path, uri: str | None = None) -> None:
        self.root = root
        self.uri = uri or tracking_uri(root)
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's client; the first use creates or migrates a database, so it happens under the lock."""
        if self._client is None:
            self._client = MlflowClient(self.uri)
            self._client.search_experiments(max_results=1)
        return self._client

    def publish(self, run_id: str) -> Pass:
        """Bring a run up to date. Raises what MLflow raises; the store is not touched except `mlflow.json`."""
        with self._alone():
            record = load_run(self.root, run_id)
            status = run_status(self.root, record)
            experiment = self._experiment(describe.experiment_name(self.root, run_id))
            parent, parent_run = self._parent(record, experiment)
            sent, run_ids = 0, dict[str, str]()
            if parent_run.info.lifecycle_stage == "deleted":
                # Somebody deleted it in MLflow on purpose; it can be restored there.
                return Pass(parent.experiment_id, parent.run_id, 0)
            for unit_state in status.units:
                state, count = self._publish_unit(record, unit_state, parent.run_id, experiment)
                sent += count
                if state is not None:
                    run_ids[unit_state.name] = state.run_id
            self._finish_parent(record, status, parent, parent_run, run_ids)
            return Pass(experiment, parent.run_id, sent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the store's one right to write to trackers; waits for another publisher to end its pass."""
        give_up = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                with locked(self.root / LOCK, "The tracking record"):
                    yield
                    return
            except LockedError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, artifact_location(self.root, self.uri)))
            except MlflowException:
                # Another store's publisher was faster on a shared server.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find(self, folder: Path, tag: str, value: str) -> tuple[Published, Run] | None:
        """Return the MLflow run of a folder: the one it names, else the one that carries the tag, else None."""
        state = read_published(folder, self.uri)
        if state is not None:
            try:
                return state, self.client.get_run(state.run_id)
            except MlflowException:
                pass
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        kind = "unit" if tag == describe.UNIT_TAG else "run"
        query = f"tags.`{tag}` = '{value}' and tags.`{describe.KIND_TAG}` = '{kind}'"
        found = self.client.search_runs(experiments, query, max_results=1)
        if not found:
            return None
        return Published(found[0].info.experiment_id, found[0].info.run_id), found[0]

    def _parent(self, record: RunRecord, experiment: str) -> tuple[Published, Run]:
        folder = run_folder(self.root, record.run_id)
        found = self._find(folder, describe.RUN_TAG, record.run_id)
        if found is None:
            tags = describe.run_tags(self.root, record)
            start = describe.milliseconds(record.created)
            run = self.client.create_run(experiment, start_time=start, tags=tags, run_name=record.run_id)
            found = Published(experiment, run.info.run_id), run
        state, run = found
        write_published(folder, self.uri, state)
        if describe.DESCRIBED_TAG not in run.data.tags and run.info.lifecycle_stage == "active":
            self.client.log_dict(state.run_id, record.config, "config.json")
            self._describe(state.run_id, describe.run_params(record))
        return state, run

    def _publish_unit(
        self, record: RunRecord, status: UnitStatus, parent_id: str, experiment: str
    ) -> tuple[Published | None, int]:
        """Follow one unit; returns what MLflow has of it (None: nothing to show yet) and the number of points sent."""
        if not status.attempts:
            return None, 0
        try:
            unit = unit_of_run(self.root, record, status.name)
        except StoreError:
            return None, 0
        digest = done_digest(unit) if status.state == "done" else None
        found = self._find(unit.folder, describe.UNIT_TAG, unit.spec.key)
        if found is not None:
            state, run = found
            if run.info.lifecycle_stage == "deleted" or (digest is not None and state.complete == digest):
                return state, 0
        else:
            state, run = self._create_unit(record, unit, status, parent_id, experiment)
        write_published(unit.folder, self.uri, state)
        if describe.DESCRIBED_TAG not in run.data.tags:
            self._describe(state.run_id, describe.unit_params(unit), describe.lineage(record, unit))
        count, state = self._follow(unit, state, run, status)
        if digest is not None:
            self._complete(unit, state.run_id)
            state = replace(state, complete=digest)
        self._set_status(run, describe.STATUS[status.state], _ended_at(unit) if digest else None)
        write_published(unit.folder, self.uri, state)
        return state, count

    def _create_unit(
        self, record: RunRecord, unit: Unit, status: UnitStatus, parent_id: str, experiment: str
    ) -> tuple[Published, Run]:
        tags = describe.unit_tags(self.root, record, unit, status.attempts) | {"mlflow.parentRunId": parent_id}
        start = describe.started_at(unit)
        run = self.client.create_run(experiment, start_time=start, tags=tags, run_name=status.name)
        return Published(experiment, run.info.run_id), run

    def _describe(self, run_id: str, params: dict[str, str], lineage: describe.Lineage | None = None) -> None:
        """Send parameters and lineage, then the tag that says so: what a kill cut short is sent again."""
        entries = [Param(metric_key(name), value) for name, value in params.items()]
        for start in range(0, len(entries), ENTRIES_PER_BATCH):
            self.client.log_batch(run_id, params=entries[start : start + ENTRIES_PER_BATCH])
        if lineage is not None:
            dataset = Dataset(name=lineage.name, digest=lineage.digest, source_type="local", source=lineage.source)
            self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", lineage.context)])])
        self.client.set_tag(run_id, describe.DESCRIBED_TAG, "1")

    def _follow(self, unit: Unit, state: Published, run: Run, status: UnitStatus) -> tuple[int, Published]:
        """Send the settled journal lines that are not there yet, a batch with the new number of lines at a time."""
        there = int(run.data.tags.get(describe.LINES_TAG, 0))
        lines = settled_lines(unit, status.state == "done")
        if str(status.attempts) != run.data.tags.get("mtquant.attempt"):
            self.client.set_tag(state.run_id, "mtquant.attempt", str(status.attempts))
        sent, batch = 0, list[Point]()
        for number, line in enumerate(lines[there:], start=there + 1):
            batch += points([line])
            if len(batch) >= METRICS_PER_BATCH - 100 or number == len(lines):
                self._send(state.run_id, batch, number)
                sent, batch, there = sent + len(batch), [], number
        return sent, replace(state, lines=there)

    def _send(self, run_id: str, batch: Sequence[Point], lines: int) -> None:
        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in batch]
        rest = metrics
        while len(rest) > METRICS_PER_BATCH:
            self.client.log_batch(run_id, metrics=rest[:METRICS_PER_BATCH])
            rest = rest[METRICS_PER_BATCH:]
        self.client.log_batch(run_id, metrics=rest, tags=[RunTag(describe.LINES_TAG, str(lines))])

    def _complete(self, unit: Unit, run_id: str) -> None:
        """Send final metrics and artifacts of a finished unit."""
        done = unit.done()
        if done is None:
            raise StoreError(f"{unit.folder} lost its marker of completion while it was being published.")
        moment = describe.milliseconds(done.finished)
        final = [
            Metric(metric_key(f"final/{name}"), value, moment, unit.spec.total_steps)
            for name, value in describe.finite(done.metrics).items()
        ]
        for start in range(0, len(final), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=final[start : start + METRICS_PER_BATCH])
        undefined = sorted(set(done.metrics) - set(describe.finite(done.metrics)))
        tags = {"mtquant.outputs": describe.outputs_tag(done.outputs), "mtquant.wall_seconds": str(done.wall_seconds)}
        if undefined:
            tags["mtquant.undefined"] = ", ".join(undefined)
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        if unit.spec.kind != "dataset":
            # The dataset is large and rebuilt from its key; its digest is in the lineage.
            self.client.log_artifacts(run_id, str(unit.outputs))
        log = unit.folder / "unit.log"
        if log.is_file():
            self.client.log_artifact(run_id, str(log))

    def _finish_parent(
        self, record: RunRecord, status: RunStatus, parent: Published, run: Run, run_ids: dict[str, str]
    ) -> None:
        table = describe.units_table(self.root, status, run_ids)
        fingerprint = describe.fingerprint(status, run_ids)
        if run.data.tags.get("mtquant.units") == fingerprint and run.info.status == describe.STATUS[status.state]:
            return
        self.client.log_dict(parent.run_id, table, "units.json")
        final = self._results(record, status, parent.run_id)
        tags = {
            "mtquant.state": status.state,
            "mtquant.units": fingerprint,
            "mlflow.loggedArtifacts": '[{"path": "units.json", "type": "table"}]',
            "mlflow.note.content": describe.note(status, table, parent.experiment_id),
        }
        self.client.log_batch(parent.run_id, metrics=final, tags=[RunTag(k, v) for k, v in tags.items()])
        self._set_status(run, describe.STATUS[status.state], None)

    def _results(self, record: RunRecord, status: RunStatus, parent_id: str) -> list[Metric]:
        """Copy the evaluation's report, plots and numbers to the parent, where people look first."""
        metrics: list[Metric] = []
        for entry in status.units:
            if entry.state != "done" or not entry.name.startswith(("evaluate", "export")):
                continue
            unit = unit_of_run(self.root, record, entry.name)
            self.client.log_artifacts(parent_id, str(unit.outputs), unit.spec.subject)
            done = unit.done()
            if done is not None and unit.spec.kind == "evaluate":
                moment = describe.milliseconds(done.finished)
                finite = describe.finite(done.metrics)
                metrics += [Metric(metric_key(f"final/{k}"), v, moment, 0) for k, v in finite.items()]
        return metrics[:METRICS_PER_BATCH]

    def _set_status(self, run: Run, status: str, end: int | None) -> None:
        if run.info.status == status:
            return
        if status in RUNNING:
            self.client.update_run(run.info.run_id, status="RUNNING")
        else:
            self.client.set_terminated(run.info.run_id, status, end)


def _ended_at(unit: Unit) -> int | None:
    done = unit.done()
    return describe.milliseconds(done.finished) if done else None
