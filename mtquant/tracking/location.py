"""Where the tracking record lies: MLflow's address, without importing MLflow."""

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE, ARTIFACTS, LOCK = "mlflow.db", "mlartifacts", "mlflow.lock"

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment of every process that imports MLflow: no telemetry, no pickle, no job API (its ten processes), no links
on standard output, where programs read."""


def tracking_uri(root: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, else the SQLite database inside the store."""
    return os.environ.get(TRACKING_VARIABLE) or f"sqlite:///{(root / DATABASE).resolve()}"


def artifact_location(root: Path, uri: str) -> str | None:
    """Return the folder for artifacts of a database without a server, or None where a server decides."""
    if not uri.startswith("sqlite:"):
        return None
    if uri == f"sqlite:///{(root / DATABASE).resolve()}":
        return (root / ARTIFACTS).resolve().as_uri()
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / ARTIFACTS).as_uri()


def lock_path(root: Path, uri: str) -> Path:
    """Return the lock that writers to `uri` hold: beside a database file, so that several stores can share one."""
    if not uri.startswith("sqlite:///"):
        return root / LOCK
    return Path(uri.removeprefix("sqlite:///")).with_suffix(".lock")


def without_secrets(uri: str) -> str:
    """Return an address without user and password, for the store and for people."""
    parts = urlsplit(uri)
    if not parts.username and not parts.password:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def configure_environment() -> None:
    """Set what MLflow reads when it is imported; values that a person has set stay."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # Unset, MLflow retries for minutes; a server that is down must not hold up the end of a run.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
