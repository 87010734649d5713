"""`ui`: the MLflow and Prefect pages on this machine, for as long as the command runs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mtquant.context import store_root
from mtquant.errors import MTQuantError
from mtquant.store.files import make_folder
from mtquant.tracking.location import SETTINGS, TRACKING_VARIABLE, artifact_location, tracking_uri, without_secrets

HOST = "127.0.0.1"
START_SECONDS = 90.0
PREFECT_ADDRESS = "server.url"
"""File in the Prefect folder of the store that names a running server, for `train` to find."""

PortOption = Annotated[int, typer.Option("--mlflow-port", help="Port of the MLflow page; 0 takes a free one.")]
PrefectPort = Annotated[int, typer.Option("--prefect-port", help="Port of the Prefect page; 0 takes a free one.")]


def ui(
    mlflow_port: PortOption = 5000,
    prefect_port: PrefectPort = 4200,
    mlflow_only: Annotated[bool, typer.Option("--mlflow-only", help="Without Prefect.")] = False,
) -> None:
    """Serve MLflow (and Prefect) on loopback until Ctrl-C, and print the addresses."""
    root = store_root()
    make_folder(root / "logs")
    with ExitStack() as servers:
        mlflow = servers.enter_context(mlflow_page(root, mlflow_port))
        typer.echo(f"MLflow:  {mlflow}  (runs: choose an experiment, then `Model training`)")
        if not mlflow_only:
            typer.echo(f"Prefect: {servers.enter_context(prefect_page(root, prefect_port))}")
        typer.echo("Ctrl-C ends both.")
        try:
            while True:
                time.sleep(1.0)
        except KeyboardInterrupt:
            typer.echo("ending")


@contextmanager
def mlflow_page(root: Path, port: int) -> Iterator[str]:
    """Serve the store's tracking database, or name the server that `MLFLOW_TRACKING_URI` points to."""
    uri = tracking_uri(root)
    if uri.startswith("http"):
        yield without_secrets(uri)
        return
    port = free_port(port, "MLflow", "--mlflow-port")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        uri,
    ]
    location = artifact_location(root, uri)
    command += ["--default-artifact-root", location, "--no-serve-artifacts"] if location else []
    environment = {name: value for name, value in os.environ.items() if name != TRACKING_VARIABLE} | SETTINGS
    with _server(command, environment, root / "logs" / "mlflow-server.log", port, "MLflow") as address:
        yield address


@contextmanager
def prefect_page(root: Path, port: int) -> Iterator[str]:
    """Serve the store's Prefect database with its page; `train` finds it while it runs."""
    port = free_port(port, "Prefect", "--prefect-port")
    home = root.absolute() / "prefect"
    make_folder(home)
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with _server(command, environment, root / "logs" / "prefect-server.log", port, "Prefect") as address:
        note = home / PREFECT_ADDRESS
        note.write_text(f"{address}/api")
        try:
            yield address
        finally:
            note.unlink(missing_ok=True)


@contextmanager
def _server(command: list[str], environment: dict[str, str], log: Path, port: int, name: str) -> Iterator[str]:
    """Start a server, wait until its port answers, and end it and its children on the way out."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        _await_port(process, port, log, name)
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(process: "subprocess.Popen[bytes]", port: int, log: Path, name: str) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.2)
    raise MTQuantError(f"The {name} server did not start; see {log}.")


def free_port(port: int, name: str, option: str) -> int:
    """Return `port` if nothing listens there, or a free one for 0. Raises `MTQuantError` where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise MTQuantError(f"Port {port} for {name} is taken; choose another with {option} (0: any).") from error
        return int(probe.getsockname()[1])
