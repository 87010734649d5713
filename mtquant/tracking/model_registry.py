"""MLflow's model registry as the mirror of `promotions.jsonl`: versions of one model, and where the aliases stand."""

import json
from collections.abc import Callable, Sequence

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mtquant.store.promotions import ALIASES, Assignment, Policy, holder_of_alias
from mtquant.tracking.models import POLICY

POLICY_TAG = "mtquant.policy"
VERSIONS_TAG = "mlflow.modelVersions"
"""Where MLflow's pages look for the versions that a model was registered as."""
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_DESCRIPTION = (
    "The hierarchy that deploys. `challenger` follows every finished run, `champion` moves only by `mtquant promote`. "
    "The record of both is `promotions.jsonl` in the store; this page mirrors it."
)
Find = Callable[[Policy], tuple[str, str] | None]
"""A policy to the ids of its run and of its model in MLflow, None where it cannot be there."""


class ModelRegistry:
    """Brings the aliases of the record into MLflow; doing it again changes nothing."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    def mirror(self, assignments: Sequence[Assignment], find: Find) -> None:
        """Make a version for every policy in the order of the record, then move the aliases."""
        model = self._model()
        versions = {v.tags.get(POLICY_TAG): v for v in self.client.search_model_versions(f"name = '{POLICY}'")}
        for entry in assignments:
            digest = entry.policy.digest
            if digest not in versions:
                made = self._version(entry.policy, find)
                if made is not None:
                    versions[digest] = made
        for known, version in versions.items():
            self._describe(version, [entry for entry in assignments if entry.policy.digest == known])
        for alias in ALIASES:
            holder = holder_of_alias(assignments, alias)
            stands = versions.get(holder.policy.digest) if holder else None
            if stands is not None and str(model.aliases.get(alias)) != str(stands.version):
                self.client.set_registered_model_alias(POLICY, alias, str(stands.version))

    def _model(self) -> RegisteredModel:
        try:
            return self.client.get_registered_model(POLICY)
        except MlflowException as error:
            if error.error_code != _MISSING:
                raise
        return self.client.create_registered_model(POLICY, description=_DESCRIPTION)

    def _version(self, policy: Policy, find: Find) -> ModelVersion | None:
        found = find(policy)
        if found is None:
            return None
        run_id, model_id = found
        model = self.client.get_logged_model(model_id)
        tags = {
            POLICY_TAG: policy.digest,
            "mtquant.run": policy.run_id,
            "mtquant.stage": policy.stage,
            "mtquant.export": policy.export,
            "mtquant.evaluation": policy.evaluation,
            "mtquant.outputs": json.dumps(policy.outputs, sort_keys=True),
        }
        # By its place: a `models:/` address would be looked up in whatever tracker this process has as its default.
        version = self.client.create_model_version(
            POLICY, model.artifact_location, run_id, tags, model_id=model_id, await_creation_for=0
        )
        shown = json.loads(model.tags.get(VERSIONS_TAG, "[]"))
        entry = {"name": POLICY, "version": str(version.version)}
        if entry not in shown:
            self.client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps([*shown, entry])})
        return version

    def _describe(self, version: ModelVersion, entries: Sequence[Assignment]) -> None:
        if not entries:
            return
        text = "\n".join(_line(entry) for entry in entries)
        if version.description != text:
            self.client.update_model_version(POLICY, str(version.version), text)


def _line(entry: Assignment) -> str:
    """Return one movement as a line of Markdown."""
    gains = [
        f"{name}: {values['value']:+.2%} ({values['low']:+.2%} to {values['high']:+.2%})"
        for name, values in entry.figures.items()
        if values.get("low") is not None
    ]
    measured = f" Gain per year over {'; '.join(gains)}." if gains else ""
    reason = f" Reason: {entry.reason}" if entry.reason else ""
    return f"- {entry.when} `{entry.alias}` ({entry.verdict}), {entry.policy.stage}.{measured}{reason}"
