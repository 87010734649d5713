"""Prefect's settings on one machine, and what is done with the server of a flow that was killed."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows import embedded


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MTQUANT_STORE", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
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
    embedded.configure()
    assert os.environ["PREFECT_API_URL"] == server
    (home / "server.url").write_text(server.replace("127.0.0.1", "example.org"))
    assert embedded.running_server(home) is None


def note(home, server, flow):
    (home / "ephemeral-server.json").write_text(json.dumps({"server": server, "flow": flow}))


def test_only_a_server_whose_flow_is_gone_is_ended(home):
    code = "import time; time.sleep(60)  # prefect.server.api.server:create_app"
    with subprocess.Popen([sys.executable, "-c", code]) as server, subprocess.Popen([sys.executable, "-c", ""]) as flow:
        flow.wait()
        try:
            note(home, server.pid, os.getpid())
            assert embedded.end_orphan(home) is None, "its flow lives"
            note(home, os.getpid(), flow.pid)
            assert embedded.end_orphan(home) is None, "another process has its number now"
            assert server.poll() is None
            note(home, server.pid, flow.pid)
            assert embedded.end_orphan(home) == server.pid
            assert server.wait(timeout=10) != 0
        finally:
            server.kill()
    assert embedded.end_orphan(home) is None
    (home / "ephemeral-server.json").write_text("{torn")
    assert embedded.end_orphan(home) is None
