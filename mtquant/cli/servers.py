"""`ui`: the MLflow and Prefect pages on this machine, for as long as the command runs."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from mtquant.context import store_root
from mtquant.errors import MTQuantError
from mtquant.store.files import make_folder
from mtquant.tracking.location import SETTINGS, TRACKING_VARIABLE, artifact_location, tracking_uri, without_secrets

HOST = "127.0.0.1"
START_SECONDS = 120.0
PREFECT_ADDRESS, MLFLOW_ADDRESS = "server.url", "mlflow.url"
"""Files in the store's `prefect` folder that name the running servers: for `train` to find, and for links to follow."""

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
    # Stopped by a service manager, the servers end like after Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as servers:
        mlflow = servers.enter_context(mlflow_page(root, mlflow_port))
        prefect = None if mlflow_only else servers.enter_context(prefect_page(root, prefect_port))
        # Both have begun by now, since each takes its seconds.
        # Without the workflow MLflow opens its pages for language models.
        typer.echo(f"MLflow:  {mlflow.ready()}/#/experiments?workflowType=machine_learning")
        if prefect is not None:
            typer.echo(f"Prefect: {prefect.ready()}")
        typer.echo("Ctrl-C ends both." if prefect else "Ctrl-C ends it.")
        try:
            while True:
                time.sleep(1.0)
        except KeyboardInterrupt:
            typer.echo("ending")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Page:
    """A page at `address`, served by a process that was begun here or by a server elsewhere."""

    def __init__(self, name: str, address: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.name, self.address = name, address
        self._process = process

    def ready(self) -> str:
        """Return the address once the page is served. Raises `MTQuantError` where its server ends instead."""
        give_up = time.monotonic() + START_SECONDS
        while self._process is not None and not _listens(self.address):
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise MTQuantError(f"The {self.name} server did not start; see {_log(store_root(), self.name)}.")
            time.sleep(0.2)
        return self.address


@contextmanager
def mlflow_page(root: Path, port: int) -> Iterator[Page]:
    """Serve the store's tracking database, or name the server that `MLFLOW_TRACKING_URI` points to."""
    uri = tracking_uri(root)
    if uri.startswith("http"):
        yield Page("MLflow", without_secrets(uri))
        return
    port = free_port(port, "MLflow", "--mlflow-port")
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1", "--backend-store-uri", uri]
    location = artifact_location(root, uri)
    command += ["--default-artifact-root", location, "--no-serve-artifacts"] if location else []
    environment = {name: value for name, value in os.environ.items() if name != TRACKING_VARIABLE} | SETTINGS
    with (
        _server("MLflow", command, environment, root, port) as page,
        _noted(root / "prefect" / MLFLOW_ADDRESS, page.address),
    ):
        yield page


@contextmanager
def prefect_page(root: Path, port: int) -> Iterator[Page]:
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
        # Kept in memory, leases are lost with the server, and Prefect ends the runs that hold one.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api",
    }
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with (
        _server("Prefect", command, environment, root, port) as page,
        _noted(home / PREFECT_ADDRESS, f"{page.address}/api"),
    ):
        yield page


@contextmanager
def _noted(path: Path, address: str) -> Iterator[None]:
    make_folder(path.parent)
    path.write_text(address)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _server(name: str, command: list[str], environment: dict[str, str], root: Path, port: int) -> Iterator[Page]:
    """Start a server, and end it and its children on the way out."""
    with _log(root, name).open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Page(name, f"http://{HOST}:{port}", process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _log(root: Path, name: str) -> Path:
    return root / "logs" / f"{name.lower()}-server.log"


def _listens(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, int(address.rpartition(":")[2]))) == 0


def free_port(port: int, name: str, option: str) -> int:
    """Return `port` if nothing listens there, or a free one for 0. Raises `MTQuantError` where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise MTQuantError(f"Port {port} for {name} is taken; choose another with {option} (0: any).") from error
        return int(probe.getsockname()[1])
