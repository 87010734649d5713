"""Prefect on this machine alone: its settings, and a server that lives exactly as long as the flow's process."""

import atexit
import http.client
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from mtquant.context import store_root
from mtquant.errors import MTQuantError
from mtquant.store.files import guarded, make_folder

HOME, ADDRESS, LOG = "prefect", "server.url", "prefect-embedded.log"
API = "PREFECT_API_URL"
HOST = "127.0.0.1"
START_SECONDS, END_SECONDS = 120.0, 15.0
ALONE = "`--engine direct` runs the same units without Prefect."

SETTINGS = {
    # Only Prefect's own profile turns it on; a person's profile must not turn it off.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "DO_NOT_TRACK": "true",
    # The default of 5 is a minute, for each of the requests to a server that is gone.
    "PREFECT_CLIENT_MAX_RETRIES": "3",
    # The default of 20 s is short on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",
}


def configure() -> None:
    """Set what Prefect reads when it is imported; values that are set already stay."""
    for name, value in ({"PREFECT_HOME": str(prefect_home())} | SETTINGS).items():
        os.environ.setdefault(name, value)


def prefect_home() -> Path:
    """Return Prefect's folder inside the store."""
    return store_root().absolute() / HOME


def running_server(home: Path) -> str | None:
    """Return the address of the server that `mtquant ui` runs, or None; a note left by a dead one does not count."""
    try:
        address = (home / ADDRESS).read_text().strip()
    except OSError:
        return None
    if not address.startswith((f"http://{HOST}:", "http://localhost:")):
        return None
    return address if answers(address, seconds=3.0) else None


def answers(address: str, seconds: float) -> bool:
    """Return whether a Prefect server answers at `address`."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        # A ValueError is an address that is none.
        return False


class Server:
    """A server of Prefect's API that was begun here; it ends with this process, even by kill -9."""

    def __init__(self) -> None:
        make_folder(prefect_home())
        self.log = store_root().absolute() / "logs" / LOG
        make_folder(self.log.parent)
        # The port is bound here, so nobody can take it while the server starts; requests until then wait.
        with socket.create_server((HOST, 0)) as listening:
            self.address = f"http://{HOST}:{listening.getsockname()[1]}/api"
            command = [sys.executable, "-m", "flows.server", "--socket", str(listening.fileno())]
            with guarded(self.log, "open the log"), self.log.open("ab") as file:
                self._process = subprocess.Popen(
                    command,
                    # It ends when this pipe does.
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=file,
                    pass_fds=(listening.fileno(),),
                    start_new_session=True,
                )

    def await_ready(self) -> None:
        """Return once it answers. Raises `MTQuantError` where it ends instead."""
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            if answers(self.address, seconds=1.0):
                return
            if self._process.poll() is not None:
                raise MTQuantError(f"Prefect's server could not start; see {self.log}. {ALONE}")
            time.sleep(0.05)
        raise MTQuantError(f"Prefect's server did not answer within {START_SECONDS:.0f} s; see {self.log}. {ALONE}")

    def end(self) -> None:
        """End it and wait for that."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def choose_server() -> Server | None:
    """Name to Prefect the server to use; call it before Prefect is imported.

    It is `PREFECT_API_URL`, else the one of `mtquant ui` on this store, else one that is begun here and returned.
    """
    known = os.environ.get(API) or running_server(prefect_home())
    if known:
        os.environ[API] = known
        return None
    server = Server()
    # What is registered first is called last: Prefect's own functions at exit still need it.
    atexit.register(server.end)
    os.environ[API] = server.address
    return server
