"""What MLflow has of a run, read back whole: for tests that compare an interrupted run with an uninterrupted one."""

from mlflow.tracking import MlflowClient

History = dict[str, list[tuple[int, float]]]


def history(client: MlflowClient, run_id: str) -> History:
    """Return every metric of an MLflow run with all its points `(step, value)`, in order of step; doubles included."""
    keys = client.get_run(run_id).data.metrics
    return {key: sorted((m.step, m.value) for m in client.get_metric_history(run_id, key)) for key in sorted(keys)}


def histories(client: MlflowClient, parent_id: str) -> dict[str, History]:
    """Return `history` of every unit's run below a parent, by the unit's name."""
    experiments = [found.experiment_id for found in client.search_experiments()]
    children = client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent_id}'")
    return {run.info.run_name: history(client, run.info.run_id) for run in children}
