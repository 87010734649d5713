"""Prefect on this machine alone: its settings, and what a killed run left of its server."""

import json
import os
import signal
from pathlib import Path

from mtquant.context import store_root
from mtquant.store.files import make_folder, write_atomic

HOME, ADDRESS, SERVER = "prefect", "server.url", "ephemeral-server.json"
_SERVER_MARK = b"prefect.server.api.server:create_app"

SETTINGS = {
    # Only Prefect's own profile turns it on; a person's profile must not turn it off.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "DO_NOT_TRACK": "true",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # The default of 20 s is short on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",
}


def configure() -> None:
    """Set what Prefect reads when it is imported; values that are set already stay.

    Without `PREFECT_API_URL`, the server that `mtquant ui` runs on this store is used, else an embedded one.
    """
    home = prefect_home()
    os.environ.setdefault("PREFECT_HOME", str(home))
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    address = running_server(home)
    if address:
        os.environ.setdefault("PREFECT_API_URL", address)


def prefect_home() -> Path:
    """Return Prefect's folder inside the store."""
    return store_root().absolute() / HOME


def running_server(home: Path) -> str | None:
    """Return the address of the server that `mtquant ui` runs, or None; a note left by a dead one does not count."""
    try:
        address = (home / ADDRESS).read_text().strip()
    except OSError:
        return None
    return address if _answers(address) else None


def _answers(address: str) -> bool:
    import urllib.error
    import urllib.request

    if not address.startswith(("http://127.0.0.1:", "http://localhost:")):
        return False
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=3) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def note_server(home: Path, pid: int) -> None:
    """Remember the embedded server's process, which outlives a flow that is killed."""
    make_folder(home)
    write_atomic(home / SERVER, json.dumps({"server": pid, "flow": os.getpid()}).encode())


def forget_server(home: Path) -> None:
    """Forget it once it has ended with its flow."""
    (home / SERVER).unlink(missing_ok=True)


def end_orphan(home: Path) -> int | None:
    """End the embedded server of a flow that was killed and return its pid, or None where there is none.

    The process is only touched if its command line is that of Prefect's server and its flow is gone.
    """
    try:
        note = json.loads((home / SERVER).read_text())
        server, flow = int(note["server"]), int(note["flow"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if Path(f"/proc/{flow}").exists() or _SERVER_MARK not in _command_line(server):
        return None
    os.kill(server, signal.SIGTERM)
    forget_server(home)
    return server


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
