"""What a person at the host does with the servers: environment, commands, questions to both APIs."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests

from tests.deployment.native import Stack

PATIENCE = 600
Json = Any


@dataclass(frozen=True)
class Host:
    """A shell on the host in which .env was sourced."""

    stack: Stack
    folder: Path

    @property
    def store(self) -> Path:
        """Return the worker's store."""
        return self.stack.place(self.stack.services["worker"], "/store")

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of .env, with the servers' addresses as they are here."""
        return {name: self.stack.published(value) for name, value in self.stack.variables.items()}

    def address(self, service: str) -> str:
        """Return host and port that Compose publishes for a service."""
        (published,) = self.stack.services[service].definition["ports"]
        return self.stack.published(published.rpartition(":")[0])

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment; its output is one text."""
        own = {"PREFECT_HOME": str(self.folder / "prefect"), "MTQUANT_STORE": str(self.folder / "models")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1", "DO_NOT_TRACK": "true"}
        return subprocess.run(
            command,
            cwd=self.stack.app,
            env=kept | path | self.variables | own | {"MTQUANT_STACK": self.stack.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    # -- Prefect

    def train(self, *parameters: str, watch: bool = True) -> Json:
        """Start the deployment `on-demand`, wait for its end, and return the flow run as it is then."""
        arguments = [word for parameter in parameters for word in ("--param", parameter)]
        arguments += ["--watch"] if watch else []
        ended = self.run("prefect", "deployment", "run", "mtquant-pipeline/on-demand", *arguments)
        assert ended.returncode == 0, ended.stdout + self.stack.log("worker")
        (flow_run,) = re.findall(r"UUID: (\S+)", ended.stdout)
        return self.flow_run(flow_run)

    def flow_run(self, identity: str) -> Json:
        """Return a flow run as it is now."""
        (found,) = self.prefect("flow_runs/filter", flow_runs={"id": {"any_": [identity]}})
        return found

    def prefect(self, path: str, **body: Json) -> Json:
        """Ask Prefect's API, with the token that it wants of a browser."""
        user, _, password = self.variables["PREFECT_API_AUTH_STRING"].partition(":")
        base, client = self.variables["PREFECT_API_URL"], "tests"
        token = requests.get(f"{base}/csrf-token", params={"client": client}, auth=(user, password), timeout=30)
        headers = {"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": token.json()["token"]}
        answer = requests.post(f"{base}/{path}", json=body, headers=headers, auth=(user, password), timeout=30)
        answer.raise_for_status()
        return answer.json()

    def flow_runs(self, state: str) -> list[Json]:
        """Return the flow runs in a state of that type."""
        return list(self.prefect("flow_runs/filter", flow_runs={"state": {"type": {"any_": [state]}}}))

    def task_states(self, flow_run: str) -> dict[str, str]:
        """Return the names of the states of a flow run's tasks, by task."""
        found = self.prefect("task_runs/filter", flow_runs={"id": {"any_": [flow_run]}})
        return {task["name"]: task["state_name"] for task in found}

    # -- MLflow and the bucket

    def mlflow(self, method: str, path: str, **values: Json) -> Json:
        """Ask MLflow's API."""
        where = {"params": values} if method == "GET" else {"json": values}
        account = (self.variables["MLFLOW_TRACKING_USERNAME"], self.variables["MLFLOW_TRACKING_PASSWORD"])
        url = f"{self.variables['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}"
        answer = requests.request(method, url, auth=account, timeout=30, **where)
        answer.raise_for_status()
        return answer.json()

    def mlflow_runs(self, tag: str, value: str) -> dict[str, Json]:
        """Return the MLflow runs that carry a tag, by name."""
        experiments = self.mlflow("GET", "experiments/search", max_results=100)["experiments"]
        ids = [experiment["experiment_id"] for experiment in experiments]
        found = self.mlflow("POST", "runs/search", experiment_ids=ids, filter=f"tags.`{tag}` = '{value}'")
        return {run["info"]["run_name"]: run for run in found.get("runs", [])}

    def objects(self) -> dict[str, int]:
        """Return key and size of every object in the bucket."""
        environment: Mapping[str, str] = self.stack.environment(self.stack.services["s3-init"])
        client = boto3.client(
            "s3",
            endpoint_url=environment["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        bucket = environment["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}
