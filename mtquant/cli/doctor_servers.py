"""Whether MLflow and Prefect can be reached, and why not; nothing of either is imported."""

import base64
import os
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from mtquant.cli.findings import BAD, OK, WARNING, Finding
from mtquant.cli.servers import PREFECT_ADDRESS
from mtquant.tracking.location import tracking_uri, without_secrets

SECONDS = 3.0
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
"""A request that needs a right host name and a right password; `/health` needs neither."""
PREFECT_VARIABLE = "PREFECT_API_URL"
_LATER = "training goes on without it, `mtquant sync` publishes later"


def servers(root: Path) -> list[Finding]:
    """Return what was found of the tracking record and of Prefect's server."""
    return [mlflow(tracking_uri(root)), prefect(root, os.environ.get(PREFECT_VARIABLE))]


def mlflow(uri: str) -> Finding:
    """Look at the tracking database or server at `uri`."""
    if uri.startswith("sqlite:///"):
        return _database(Path(uri.removeprefix("sqlite:///")))
    if uri.startswith(("http://", "https://")):
        return _mlflow_server(uri)
    return Finding("mlflow record", OK, f"{without_secrets(uri)}, not looked at: only SQLite and servers are")


def _database(path: Path) -> Finding:
    if not path.is_file():
        return Finding("mlflow record", OK, f"{path} does not exist yet; the first run makes it")
    try:
        # Takes the right to write and gives it back; nothing is written.
        connection = sqlite3.connect(f"file:{path.absolute()}?mode=rw", uri=True, timeout=1.0)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
            count = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return Finding("mlflow record", WARNING, f"{path} is being written by another process; {_LATER}")
        return Finding("mlflow record", BAD, f"{path}: {error}. {_rebuilt(path)}")
    except sqlite3.DatabaseError as error:
        return Finding("mlflow record", BAD, f"{path} is damaged: {error}. {_rebuilt(path)}")
    return Finding("mlflow record", OK, f"{path} with {count} MLflow runs")


def _rebuilt(path: Path) -> str:
    return f"Move {path.name} away; `mtquant sync` rebuilds it from the store"


def _mlflow_server(uri: str) -> Finding:
    shown = without_secrets(uri)
    host = urlsplit(uri).netloc.rpartition("@")[2]
    try:
        _ask(uri, SEARCH, _credentials(uri))
    except urllib.error.HTTPError as error:
        told = error.read(500).decode(errors="replace").strip()
        if error.code == 403 and "host" in told.lower():
            text = f'{shown} refuses its own name; start the MLflow server with --allowed-hosts "{host},localhost:*"'
            return Finding("mlflow server", BAD, text)
        if error.code in (401, 403):
            text = f"{shown} refuses the password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            return Finding("mlflow server", BAD, text)
        return Finding("mlflow server", BAD, f"{shown} answers with HTTP {error.code}: {told[:120]}")
    except (OSError, ValueError) as error:
        return Finding("mlflow server", WARNING, f"{shown} does not answer ({_reason(error)}); {_LATER}")
    return Finding("mlflow server", OK, f"{shown} answers")


def prefect(root: Path, address: str | None) -> Finding:
    """Look at the server that `PREFECT_API_URL` names, else at the one that `mtquant ui` noted in the store."""
    note = root / "prefect" / PREFECT_ADDRESS
    if address:
        return _prefect_server(address, BAD, f"start it, or unset {PREFECT_VARIABLE} to use an embedded one")
    if not note.is_file():
        return Finding("prefect server", OK, "none runs; `train` starts one for itself")
    return _prefect_server(
        note.read_text().strip(), WARNING, f"{note} was left by a killed `mtquant ui`; `train` passes over it"
    )


def _prefect_server(address: str, level: str, advice: str) -> Finding:
    shown = without_secrets(address)
    try:
        _ask(address, "/health")
    except (OSError, ValueError) as error:
        return Finding("prefect server", level, f"{shown} does not answer ({_reason(error)}); {advice}")
    return Finding("prefect server", OK, f"{shown} answers")


def _credentials(uri: str) -> str | None:
    """Return the header with which MLflow's own client would present itself, or None."""
    parts, given = urlsplit(uri), os.environ.get
    user, password = parts.username or given("MLFLOW_TRACKING_USERNAME"), parts.password
    if user is not None:
        secret = f"{user}:{password or given('MLFLOW_TRACKING_PASSWORD', '')}"
        return f"Basic {base64.b64encode(secret.encode()).decode()}"
    token = given("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def _ask(address: str, path: str, credentials: str | None = None) -> None:
    """Fetch one page. Raises `OSError` (an `HTTPError` is one) or `ValueError`."""
    request = urllib.request.Request(f"{without_secrets(address).rstrip('/')}{path}")
    if credentials:
        request.add_header("Authorization", credentials)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        answer.read(1)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error))
