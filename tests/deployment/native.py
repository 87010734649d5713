"""The services of docker-compose.yml as processes of this machine, from its commands, environment and checks.

Every service gets a loopback address of its own, in place of its container: its port, its host name and
`127.0.0.1` inside it keep their meaning. What Compose takes from images is replaced: PostgreSQL is this
machine's, the S3-compatible store is moto. What only containers have (users, read-only roots, networks,
limits) is not there.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.deployment.compose import ROOT, Service, in_order

MARK = "MTQUANT_STACK"
"""Variable that every process of a stack inherits, to find what was left behind."""
IMAGE = ("mtquant", "flows", "config", "docker", "prefect.yaml", "pyproject.toml", "requirements.lock", "README.md")
"""What .dockerignore lets into the image."""
START_SECONDS = STOP_SECONDS = 600.0
"""Patience on a busy machine, far beyond what Compose is told to have."""


def postgres_folder() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where it is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


@dataclass
class Stack:
    """Started services; `stop` ends them."""

    folder: Path
    variables: Mapping[str, str]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each took to be healthy or complete."""

    def __post_init__(self) -> None:
        self.services = {service.name: service for service in in_order(self.variables)}
        # 127.0.0.0/8 is all loopback; the process id keeps two stacks apart.
        high, low = os.getpid() // 250 % 250 + 2, os.getpid() % 250 + 2
        self.addresses = {name: f"127.{high}.{low}.{n}" for n, name in enumerate(self.services, start=2)}
        self.app = self.folder / "app"
        self.app.mkdir()
        for name in IMAGE:
            (self.app / name).symlink_to(ROOT / name)
        # PostgreSQL's socket wants a short path, and its user may not enter pytest's folders.
        self.database = Path(tempfile.mkdtemp(prefix="mtquant-db-"))

    # -- from containers to processes

    def here(self, text: str, service: Service) -> str:
        """Return a text of the service's definition with host names, addresses and folders as they are here."""
        own, text = self.addresses[service.name], self.published(text)
        for name, address in self.addresses.items():
            text = re.sub(rf"(?<![\w.-]){name}(?=:\d{{4}}\b)", address, text)
        text = re.sub(r"\b(0\.0\.0\.0|127\.0\.0\.1)\b", own, text)
        folders = "|".join(map(re.escape, (*service.mounts, "/app")))
        return re.sub(rf"(?<![\w/.])(?:{folders})(?=/|$)", lambda found: str(self.place(service, found[0])), text)

    def published(self, text: str) -> str:
        """Return a text with the addresses that Compose publishes on the host as they are here."""
        for name, service in self.services.items():
            for port in service.definition.get("ports", ()):
                host, _, container = port.rpartition(":")
                text = re.sub(rf"{re.escape(host)}\b", f"{self.addresses[name]}:{container}", text)
        return text

    def place(self, service: Service, folder: str) -> Path:
        """Return what stands for a folder of a container."""
        if folder == "/app":
            return self.app
        inside = self.folder / (service.name if folder == "/tmp" else "volumes") / folder.strip("/")
        inside.mkdir(parents=True, exist_ok=True)
        return inside

    def environment(self, service: Service) -> dict[str, str]:
        """Return the service's environment and nothing of this process's, like a container's."""
        scratch = str(self.place(service, "/tmp"))
        base = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": scratch, "TMPDIR": scratch}
        own = {name: self.here(value, service) for name, value in service.environment.items()}
        if "PGHOST" in own:
            own["PGHOST"] = self.addresses[own["PGHOST"]]
        return base | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", MARK: self.mark} | own

    def log(self, name: str) -> str:
        """Return what a service has said."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- start and stop

    def start(self) -> None:
        """Start every service after those it waits for. Raises `AssertionError` with the log of one that fails."""
        for service in self.services.values():
            begun = time.monotonic()
            if service.name == "db":
                self._start_database(service)
            elif service.is_job:
                self._complete(service)
            else:
                self._spawn(service)
                self._await_health(service)
            self.seconds[service.name] = time.monotonic() - begun

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        command = [self.here(word, service) for word in service.command]
        if service.name == "s3":
            command = [sys.executable, "-m", "moto.server", "-H", self.addresses["s3"], "-p", "8333"]
        with (self.folder / f"{service.name}.log").open("ab") as log:
            self.processes[service.name] = subprocess.Popen(
                command,
                cwd=self.app,
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.processes[service.name]

    def _complete(self, service: Service) -> None:
        code = self._spawn(service).wait(timeout=START_SECONDS)
        assert code == 0, f"{service.name} ended with {code}:\n{self.log(service.name)}"

    def _await_health(self, service: Service) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not self.healthy(service):
            process = self.processes[service.name]
            assert process.poll() is None, f"{service.name} ended:\n{self.log(service.name)}"
            assert time.monotonic() < give_up, f"{service.name} is not healthy:\n{self.log(service.name)}"
            time.sleep(0.5)

    def healthy(self, service: Service) -> bool:
        """Return whether the service's health check passes; moto stands in for an image with another check."""
        if service.name == "s3":
            with socket.socket() as probe:
                return probe.connect_ex((self.addresses["s3"], 8333)) == 0
        assert service.check is not None
        check = [self.here(word, service) for word in service.check]
        ended = subprocess.run(
            check, cwd=self.app, env=self.environment(service), capture_output=True, check=False, timeout=60
        )
        return ended.returncode == 0

    def _start_database(self, service: Service) -> None:
        """Do what the image's entry point does: make the data folder, start, run the init script once."""
        programs, secrets = postgres_folder(), service.environment
        assert programs is not None
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        password, data = self.database / "password", self.database / "data"
        password.write_text(secrets["POSTGRES_PASSWORD"])
        if user:
            for path in (self.database, password):
                shutil.chown(path, "postgres", "postgres")
        address = self.addresses["db"]
        settings = f"-c listen_addresses={address} -c unix_socket_directories={self.database}"
        superuser = f"--username={secrets['POSTGRES_USER']}"
        for command in (
            [programs / "initdb", "-D", data, superuser, f"--pwfile={password}", "--auth=scram-sha-256", "-E", "UTF8"],
            [programs / "pg_ctl", "-D", data, "-o", settings, "-l", self.database / "log", "-w", "start"],
        ):
            environment = {"PATH": os.defpath, MARK: self.mark}
            subprocess.run(
                command, check=True, cwd=self.database, env=environment, stdout=subprocess.DEVNULL, timeout=120, **user
            )
        script = ROOT / "docker" / "postgres" / "databases.sql"
        subprocess.run(
            ["psql", "-v", "ON_ERROR_STOP=1", "-X", superuser, f"--host={address}", "-d", "postgres", "-f", script],
            check=True,
            env=secrets | {"PATH": os.defpath, "PGPASSWORD": secrets["POSTGRES_PASSWORD"]},
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        assert self.healthy(service)

    def end(self, name: str) -> int:
        """Stop one service as Compose does, by SIGTERM, and return its exit code."""
        process = self.processes[name]
        process.terminate()
        return process.wait(timeout=STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Start a stopped service again and wait until it is healthy."""
        self._spawn(self.services[name])
        self._await_health(self.services[name])

    def kill(self) -> None:
        """End whatever is left of the stack, at once."""
        for process in self.running():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """Stop all services, those that need others first."""
        for name in reversed(list(self.processes)):
            if self.processes[name].poll() is None:
                self.end(name)
        programs, data = postgres_folder(), self.database / "data"
        if programs is not None and (data / "postmaster.pid").exists():
            user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
            command = [programs / "pg_ctl", "-D", data, "-m", "fast", "-w", "stop"]
            subprocess.run(command, check=True, cwd=self.database, stdout=subprocess.DEVNULL, timeout=60, **user)
        shutil.rmtree(self.database, ignore_errors=True)

    # -- what runs

    def running(self) -> list[psutil.Process]:
        """Return every process that belongs to this stack, wherever it went."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def memory(self) -> dict[str, float]:
        """Return the proportional memory of each service with its children, MB."""
        sizes = {}
        for name, process in self.processes.items():
            if process.poll() is None:
                parent = psutil.Process(process.pid)
                sizes[name] = sum(p.memory_full_info().pss for p in [parent, *parent.children(recursive=True)]) / 1e6
        return sizes
