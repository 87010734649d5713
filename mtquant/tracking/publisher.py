"""`Publisher`: brings what the store holds of a run into MLflow, and the aliases into its model registry."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mtquant.errors import LockedError, StoreError, UsageError
from mtquant.store.digests import digest_json
from mtquant.store.fold_names import fold_of
from mtquant.store.locks import locked
from mtquant.store.promotions import Policy, read_assignments, stage_of
from mtquant.store.runs import RunRecord, load_run, run_folder, unit_of_run
from mtquant.store.status import RunStatus, UnitStatus, run_status
from mtquant.store.units import Unit
from mtquant.tracking import describe
from mtquant.tracking.curves import Point, best_point, final_points, points
from mtquant.tracking.exported import exported_models
from mtquant.tracking.lineage import datasets
from mtquant.tracking.location import artifact_location, configure_environment, lock_path, tracking_uri
from mtquant.tracking.published import Published, model_digest, read_published, write_published
from mtquant.tracking.system import system_journal

configure_environment()

from mlflow.entities import Run  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from mtquant.tracking.model_registry import ModelRegistry  # noqa: E402
from mtquant.tracking.models import ModelLog  # noqa: E402
from mtquant.tracking.sending import Sender  # noqa: E402
from mtquant.tracking.unit_runs import Seen, Token, UnitRuns, find_published, token_of  # noqa: E402

LOCK_SECONDS = 120.0


@dataclass(frozen=True)
class Pass:
    """What one look at a run brought into MLflow."""

    experiment_id: str
    parent_id: str
    points: int
    """Values sent in this pass."""


class Publisher:
    """Brings what the store holds of a run into MLflow; doing it again changes nothing.

    A journal is followed by number of lines, kept as a tag of its MLflow run in the same request as the points, so
    that neither a kill nor a resumed unit doubles a point or leaves a gap. One process at a time writes to a tracker:
    the others wait up to `patience` seconds, then raise `LockedError`.
    """

    def __init__(self, root: Path, uri: str | None = None, patience: float = LOCK_SECONDS) -> None:
        self.root = root
        self.uri = uri or tracking_uri(root)
        self.patience = patience
        self._client: MlflowClient | None = None
        # What this process has brought: a pass that finds nothing new asks MLflow nothing.
        self._seen: Seen = {}
        self._passes: dict[str, tuple[str, Pass]] = {}
        self._mirrored = ""

    @property
    def client(self) -> MlflowClient:
        """MLflow's client; the first use creates or migrates a database, so it happens under the lock."""
        if self._client is None:
            self._client = MlflowClient(self.uri, self.uri)
            self._client.search_experiments(max_results=1)
        return self._client

    @property
    def sender(self) -> Sender:
        """What writes into runs."""
        return Sender(self.client)

    def publish(self, run_id: str) -> Pass:
        """Bring a run and the aliases into MLflow. Raises what MLflow raises."""
        with self._alone():
            done = self._publish(run_id)
            self._mirror()
            return done

    def mirror(self) -> None:
        """Bring the aliases up to date, and runs that they stand on where those are not there yet."""
        with self._alone():
            self._mirror()

    def _publish(self, run_id: str) -> Pass:
        record = load_run(self.root, run_id)
        status = run_status(self.root, record)
        samples = [points([line]) for line in system_journal(self.root, run_id).read()]
        tokens = [self._token(record, unit) for unit in status.units]
        news = digest_json([record.units, status.state, tokens, len(samples)])
        before, done = self._passes.get(run_id, ("", None))
        if done is not None and before == news:
            return replace(done, points=0)
        done = self._follow(record, status, samples)
        self._passes[run_id] = news, done
        return done

    def _token(self, record: RunRecord, status: UnitStatus) -> Token | None:
        try:
            return token_of(unit_of_run(self.root, record, status.name), status)
        except StoreError:
            return None

    def _follow(self, record: RunRecord, status: RunStatus, samples: list[list[Point]]) -> Pass:
        run_id = record.run_id
        experiment = self._experiment(describe.experiment_name(self.root, run_id))
        parent, run = self._parent(record, experiment)
        if run.info.lifecycle_stage == "deleted":
            # Somebody deleted it in MLflow on purpose; it can be restored there.
            return Pass(parent.experiment_id, parent.run_id, 0)
        units = UnitRuns(self.root, self.uri, self.sender, record, parent, self._seen)
        sent = sum(units.publish(unit) for unit in status.units)
        there = int(run.data.tags.get(describe.SAMPLES_TAG, 0))
        sent += self.sender.follow(parent.run_id, samples, there, describe.SAMPLES_TAG)
        self._finish(record, status, parent, run, {name: state.run_id for name, state in units.states.items()})
        self._publish_model(record, parent)
        return Pass(experiment, parent.run_id, sent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the one right to write to the tracker; waits for another publisher to end its pass."""
        give_up = time.monotonic() + self.patience
        while True:
            try:
                with locked(lock_path(self.root, self.uri), "The tracking record"):
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
                place = artifact_location(self.root, self.uri)
                return str(self.client.create_experiment(name, place, describe.EXPERIMENT_TAGS))
            except MlflowException:
                # Another store's publisher was faster on a shared server.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _parent(self, record: RunRecord, experiment: str) -> tuple[Published, Run]:
        folder = run_folder(self.root, record.run_id)
        found = find_published(self.sender, self.uri, folder, "run", describe.RUN_TAG, record.run_id)
        if found is None:
            tags = describe.run_tags(self.root, record)
            start = describe.milliseconds(record.created)
            run = self.client.create_run(experiment, start_time=start, tags=tags, run_name=record.run_id)
            found = Published(experiment, run.info.run_id), run
        state, run = found
        write_published(folder, self.uri, state)
        if describe.DESCRIBED_TAG not in run.data.tags and run.info.lifecycle_stage == "active":
            self.client.log_dict(state.run_id, record.config, "config.json")
            self.sender.params(state.run_id, describe.run_params(record))
            self.sender.tags(state.run_id, {describe.DESCRIBED_TAG: "1"})
        return state, run

    def _finish(
        self, record: RunRecord, status: RunStatus, parent: Published, run: Run, run_ids: dict[str, str]
    ) -> None:
        """Bring table, results, description and state of the parent up to date where there is news."""
        fingerprint = describe.fingerprint(status, run_ids)
        state = describe.STATUS[status.state]
        if run.data.tags.get(describe.UNITS_TAG) == fingerprint and run.info.status == state:
            return
        table = describe.units_table(self.root, status, run_ids)
        self.client.log_dict(parent.run_id, table, "units.json")
        tags = {
            "mtquant.state": status.state,
            "mlflow.loggedArtifacts": '[{"path": "units.json", "type": "table"}]',
            describe.NOTE_TAG: describe.note(status, table, parent.experiment_id),
            describe.UNITS_TAG: fingerprint,
        }
        self.sender.points(parent.run_id, self._results(record, status, parent.run_id), tags)
        self.sender.status(run, state, describe.ended_at(self.root, record))

    def _results(self, record: RunRecord, status: RunStatus, parent_id: str) -> list[Point]:
        """Copy report, plots and figures to the parent, where people look first; return the figures."""
        found: list[Point] = []
        for entry in status.units:
            unit = unit_of_run(self.root, record, entry.name) if entry.state == "done" else None
            done = unit.done() if unit is not None else None
            if unit is None or done is None:
                continue
            best = best_point(unit.journal.read())
            found += [replace(best, key=best.key.replace("best/", f"best/{entry.name}.", 1))] if best else []
            if unit.spec.kind == "dataset":
                self.sender.datasets(parent_id, datasets(self.root, record, unit))
            if unit.spec.kind in ("evaluate", "export"):
                self.client.log_artifacts(parent_id, str(unit.outputs), unit.spec.subject)
            # of a walk-forward the parent has the figures of all folds together
            if unit.spec.kind == "evaluate" and fold_of(entry.name) is None:
                found += final_points(done, describe.milliseconds(done.finished), 0)
                found += _deployed_points(unit)
        return found

    def _publish_model(self, record: RunRecord, parent: Published) -> None:
        """Log the hierarchy that deploys as a model of the whole run, with the figures that speak for it, once."""
        digest = model_digest(self.root, record)
        if digest is None or parent.complete == digest:
            return
        names = {name.partition("-")[0]: name for name in record.units}
        report, export = (unit_of_run(self.root, record, names[kind]) for kind in ("evaluate", "export"))
        done = report.done()
        stage = stage_of(done.metrics) if done else None
        named = {model.name: model for model in exported_models(export)}
        model = named.get(f"{stage}-hierarchy")
        if stage is not None:
            tags = {describe.RUN_TAG: record.run_id, describe.STAGE_TAG: stage}
            model_id = ModelLog(self.client).log_hierarchy(model, parent, tags) if model else None
            opened = datasets(self.root, record, report)[:1]
            self.sender.points(
                parent.run_id,
                _deployed_points(report),
                {describe.STAGE_TAG: stage},
                model_id=model_id,
                dataset=opened[0] if opened else None,
            )
        write_published(run_folder(self.root, record.run_id), self.uri, replace(parent, complete=digest))

    def _mirror(self) -> None:
        assignments = read_assignments(self.root)
        news = digest_json([asdict(entry) for entry in assignments])
        if assignments and news != self._mirrored:
            ModelRegistry(self.client).mirror(assignments, self._model_of)
            self._mirrored = news

    def _model_of(self, policy: Policy) -> tuple[str, str] | None:
        """Return the ids of a policy's run and model, publishing the run if need be; None where it is gone."""
        sha256 = policy.outputs.get(f"{policy.stage}-hierarchy.onnx")
        for attempt in range(2):
            state = read_published(run_folder(self.root, policy.run_id), self.uri)
            model = ModelLog(self.client).hierarchy_of(state, sha256) if state and sha256 else None
            if state is not None and model is not None:
                return state.run_id, str(model.model_id)
            try:
                if attempt == 0:
                    self._publish(policy.run_id)
            except (UsageError, StoreError):
                # The run is no longer in the store, or damaged: there is nothing to show of it.
                return None
        return None


def _deployed_points(report: Unit) -> list[Point]:
    """Return the evaluation's figures of the stage that deploys, without its name: `final/sharpe`."""
    done = report.done()
    stage = stage_of(done.metrics) if done else None
    if done is None or stage is None:
        return []
    own = {
        name.removeprefix(f"{stage}/"): value for name, value in done.metrics.items() if name.startswith(f"{stage}/")
    }
    return final_points(replace(done, metrics=own), describe.milliseconds(done.finished), 0)
