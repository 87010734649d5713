"""`Sender`: the requests to MLflow that every run needs, within its limits; each may be repeated."""

from collections.abc import Mapping, Sequence

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from mtquant.tracking.curves import Point, metric_key
from mtquant.tracking.lineage import DatasetEntry

METRICS_PER_BATCH, ENTRIES_PER_BATCH = 1000, 100
RUNNING = ("RUNNING", "SCHEDULED")


class Sender:
    """Writes into runs by their ids; MLflow's notion of an active run plays no part."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    def find(self, kind: str, tag: str, value: str) -> Run | None:
        """Return the run of a kind (`run`, `unit`) that carries a tag, in whatever experiment it lies."""
        experiments = [found.experiment_id for found in self.client.search_experiments()]
        query = f"tags.`{tag}` = '{value}' and tags.`mtquant.kind` = '{kind}'"
        found = self.client.search_runs(experiments, query, max_results=1)
        return found[0] if found else None

    def points(
        self,
        run_id: str,
        points: Sequence[Point],
        tags: Mapping[str, str] | None = None,
        *,
        model_id: str | None = None,
        dataset: DatasetEntry | None = None,
    ) -> None:
        """Send points; `tags` arrive in the same request as the last of them. `model_id` is the model they measure."""
        about = {"model_id": model_id}
        if dataset is not None:
            about |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
        rest = [Metric(point.key, point.value, point.timestamp, point.step, **about) for point in points]
        while len(rest) > METRICS_PER_BATCH:
            self.client.log_batch(run_id, metrics=rest[:METRICS_PER_BATCH])
            rest = rest[METRICS_PER_BATCH:]
        self.client.log_batch(run_id, metrics=rest, tags=[RunTag(name, text) for name, text in (tags or {}).items()])

    def follow(self, run_id: str, lines: Sequence[Sequence[Point]], there: int, counter: str) -> int:
        """Send the lines after the first `there`, keeping their number in the tag `counter`; return the points sent.

        The number arrives with the points, so that neither a kill nor a repetition doubles a line or leaves one out.
        """
        sent, batch = 0, list[Point]()
        for number, line in enumerate(lines[there:], start=there + 1):
            batch += line
            if len(batch) >= METRICS_PER_BATCH - 100 or number == len(lines):
                self.points(run_id, batch, {counter: str(number)})
                sent, batch = sent + len(batch), []
        return sent

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Send parameters, which never change."""
        entries = [Param(metric_key(name), value) for name, value in params.items()]
        for start in range(0, len(entries), ENTRIES_PER_BATCH):
            self.client.log_batch(run_id, params=entries[start : start + ENTRIES_PER_BATCH])

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Send tags."""
        if tags:
            self.client.log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def datasets(self, run_id: str, entries: Sequence[DatasetEntry]) -> None:
        """Say which data a run reads."""
        inputs = [
            DatasetInput(
                Dataset(entry.name, entry.digest, "local", entry.source, entry.schema, entry.profile),
                [InputTag("mlflow.data.context", entry.context)],
            )
            for entry in entries
        ]
        if inputs:
            self.client.log_inputs(run_id, inputs)

    def status(self, run: Run, status: str, end: int | None = None) -> None:
        """Set the state of a run where it differs; `end` in milliseconds since 1970."""
        if run.info.status == status:
            return
        if status in RUNNING:
            self.client.update_run(run.info.run_id, status="RUNNING")
        else:
            self.client.set_terminated(run.info.run_id, status, end)
