"""Prefect's settings on one machine, and the server that lives as long as its flow."""

import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows import embedded
from mtquant.errors import MTQuantError
from tests.flows.conftest import REPOSITORY, wait_for


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MTQUANT_STORE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    for name in {name for name in os.environ if name.startswith("PREFECT_")} | {"PREFECT_API_URL", *embedded.SETTINGS}:
        # Set first, so that what the code sets is gone after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "prefect").mkdir()
    return tmp_path / "prefect"


@pytest.fixture
def server():
    """Return the address of a server that answers like Prefect's."""

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_person_s_own_values_stay(home, monkeypatch):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    embedded.configure()
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert os.environ["PREFECT_HOME"] == str(home)
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert "PREFECT_API_URL" not in os.environ


def test_a_running_page_is_used_and_a_dead_one_is_not(home, server, monkeypatch):
    (home / "server.url").write_text("http://127.0.0.1:9/api")
    assert embedded.running_server(home) is None
    (home / "server.url").write_text(server)
    assert embedded.choose_server() is None
    assert os.environ["PREFECT_API_URL"] == server
    (home / "server.url").write_text(server.replace("127.0.0.1", "example.org"))
    assert embedded.running_server(home) is None


def test_a_named_server_is_used_whatever_runs_here(home, server, monkeypatch):
    (home / "server.url").write_text(server)
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    assert embedded.choose_server() is None
    assert os.environ["PREFECT_API_URL"] == "http://prefect:4200/api"


@pytest.mark.slow
def test_a_server_that_cannot_start_is_told_at_once(home, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////nowhere/at/all/prefect.db")
    server = embedded.Server()
    with pytest.raises(MTQuantError, match=r"--engine direct") as raised:
        server.await_ready()
    server.end()
    assert str(server.log) in str(raised.value)
    assert "unable to open database file" in server.log.read_text()


@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.slow)])
def test_the_server_ends_with_its_flow_even_before_it_has_started(home, moment):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "flows.server", "--socket", str(listening.fileno())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(listening.fileno(),)) as process:
            if moment == "after":
                address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
                wait_for(lambda: embedded.answers(address, 1.0))
            process.stdin.close()
            assert process.wait(timeout=60) == -signal.SIGTERM
